import type { Graph } from '../ir/graph.ts';
import type { OpKind } from '../ir/op-table.ts';
import { cse } from './cse.ts';
import { type DepthBatchOptions, depthBatch } from './depth-batch.ts';
import { flattenRows } from './flatten-rows.ts';
import { foldConstants } from './fold-constants.ts';
import { foldEveryLoop, foldLoop, withoutLoops } from './fold-loop.ts';
import { fuseAddLinear } from './fuse-add-linear.ts';
import { fuseAddNorm } from './fuse-add-norm.ts';
import { fuseRotary } from './fuse-rotary.ts';
import type { Confidence } from './insert-exit-heads/confidence.ts';
import { insertExitHeads } from './insert-exit-heads.ts';
import { joinRotary } from './join-rotary.ts';
import { type LoraStrategy, mergeLora } from './merge-lora.ts';
import type { RunPass } from './pass.ts';
import { propagateExits } from './propagate-exits.ts';
import { removeDeadCode } from './remove-dead-code.ts';
import { type Precision, setPrecision } from './set-precision.ts';
import { type StoredLayers, stackCache } from './stack-cache.ts';
import { takeApart } from './take-apart.ts';
import { unrollLoop } from './unroll-loop.ts';

export interface PipelineOptions {
  readonly precision: Precision;
  readonly lora: LoraStrategy | 'auto';
  /** Composite operations that the target has itself. */
  readonly keeps: ReadonlySet<OpKind>;
  /** Loops, 1-based and ascending, behind which a token may leave; empty for a model without exits. */
  readonly exits: readonly number[];
}

/** What a model says of its layers. */
interface LayerOptions {
  readonly layers: StoredLayers;
  /** Some layers run several times, but no block of them as a whole: `layers.loops` is 1, and all run in one go. */
  readonly reuses?: boolean;
}

export interface UnrolledOptions extends PipelineOptions {
  /** Makes the logits behind every exit outputs. */
  readonly exitLogits: boolean;
}

export interface LoopOptions extends PipelineOptions, LayerOptions {
  readonly confidence: Confidence;
}

export interface DepthBatchedOptions extends PipelineOptions, LayerOptions, Omit<DepthBatchOptions, 'layers'> {}

/** The graphs of the form depth-batched. */
export interface DepthBatchedGraphs {
  /** One loop of the block for rows at any depth, and the heads of those that ask. */
  readonly step: Graph<'lowered'>;
  /** Keys and values at depths that tokens skipped; undefined for a model without depths to skip. */
  readonly propagate: Graph<'lowered'> | undefined;
}

/** An ordinary decoder: every loop spelled out, each shared weight still one weight. */
export function unrolledPipeline(source: Graph<'unrolled'>, options: UnrolledOptions, run: RunPass): Graph<'lowered'> {
  const folded = run(foldLoop, source);
  // The hidden state between loops has a name only while there is a loop.
  const exits = options.exitLogits && options.exits.length > 0;
  const headed = exits ? run(insertExitHeads({ mode: 'exit-logits', after: options.exits }), folded) : folded;
  // Unrolled before LoRA is merged: a matrix can be baked only where its factors are of one depth.
  return finish(run(unrollLoop, headed), options, run);
}

/** The whole model in one graph with a loop: weights once, exits inside. */
export function loopPipeline(source: Graph<'unrolled'>, options: LoopOptions, run: RunPass): Graph<'lowered'> {
  const { exits: after, confidence, layers } = options;
  const exitHeads = insertExitHeads({ mode: 'in-loop', after, confidence });
  if (options.reuses) {
    // Layers that run several times in a row are loops in which no token leaves: the model as a whole has none.
    const headed = run(exitHeads, run(stackCache(layers), withoutLoops(source)));
    return finish(run(foldEveryLoop, headed), options, run);
  }
  const folded = run(foldLoop, source);
  // Exits carry the caches of the loop before, so the caches get their loops axis first.
  const stacked = run(stackCache(layers), folded);
  return finish(run(exitHeads, stacked), options, run);
}

/** One loop of the block at a time, its rows at whatever depths they are; whoever runs it loops. */
export function depthBatchedPipeline(
  source: Graph<'unrolled'>,
  { layers, pageSize, groups, confidence, ...options }: DepthBatchedOptions,
  run: RunPass,
): DepthBatchedGraphs {
  // Whatever repeats within a step, the step runs it all.
  const folded = options.reuses ? withoutLoops(source) : run(foldLoop, source);
  const step = finish(run(depthBatch({ layers, pageSize, groups, confidence }), folded), options, run);
  if (layers.loops === 1) return { step, propagate: undefined };
  const branch = run.branch('propagate');
  return { step, propagate: finish(branch(propagateExits(layers), folded), options, branch) };
}

/** What every form ends with. */
function finish(graph: Graph<'unrolled'> | Graph<'folded'>, options: PipelineOptions, run: RunPass): Graph<'lowered'> {
  const merged = run(mergeLora({ strategy: options.lora, compute: options.precision }), cleanUp(graph, run));
  // Behind mergeLora, which bakes in f32; before norms and softmax fall apart, which have to know their types.
  const typed = run(setPrecision({ compute: options.precision }), merged);
  // Fused before the parts are taken apart for good.
  const normed = options.keeps.has('add_rms_norm') ? run(fuseAddNorm, typed) : typed;
  const rotated = options.keeps.has('rotary_lookup') ? run(fuseRotary, normed) : run(joinRotary, normed);
  const flat = run(flattenRows, run(takeApart(options.keeps), rotated));
  // Only once the axes that nobody wants back are gone is a sum the only use of a product.
  return cleanUp(run(fuseAddLinear, run(removeDeadCode, flat)), run);
}

function cleanUp<S extends Graph>(graph: S, run: RunPass): S {
  // Constants first: what they make equal is merged, and what that leaves unused goes.
  return run(removeDeadCode, run(cse, run(foldConstants, graph))) as S;
}

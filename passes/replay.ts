import type { Graph } from '../ir/graph.ts';
import { isOpKind } from '../ir/op-table.ts';
import { cse } from './cse.ts';
import { depthBatch } from './depth-batch.ts';
import { flattenRows } from './flatten-rows.ts';
import { foldConstants } from './fold-constants.ts';
import { foldEveryLoop, foldLoop } from './fold-loop.ts';
import { fuseAddLinear } from './fuse-add-linear.ts';
import { fuseAddNorm } from './fuse-add-norm.ts';
import { fuseRotary } from './fuse-rotary.ts';
import { insertExitHeads } from './insert-exit-heads.ts';
import { joinRotary } from './join-rotary.ts';
import { mergeLora } from './merge-lora.ts';
import type { PassOptions, StablePass } from './pass.ts';
import { propagateExits } from './propagate-exits.ts';
import { removeDeadCode } from './remove-dead-code.ts';
import { readReproducer } from './reproducer.ts';
import { type AnyPass, anyPass, type PipelineResult, type RunOptions, runPasses } from './run-passes.ts';
import { setPrecision } from './set-precision.ts';
import { type StoredLayers, stackCache } from './stack-cache.ts';
import { takeApart } from './take-apart.ts';
import { unrollLoop } from './unroll-loop.ts';

/** What came of a replay; or what is wrong with the text, or with the passes that it names. */
export type ReplayResult = PipelineResult<Graph> | { readonly problems: readonly string[] };

/**
 * Runs the passes that a .rtc text names in its `// pass:` lines on the graph in it: a reproducer breaks again as it
 * broke, or is mended.
 */
export function replay(text: string, options: RunOptions = {}): ReplayResult {
  const read = readReproducer(text);
  if ('problems' in read) return read;
  const passes = read.passes.map(({ name, options: chosen }) => {
    if (!Object.hasOwn(replayable, name)) return `There is no pass "${name}". There are ${replayNames.join(', ')}.`;
    return replayable[name]!(chosen) ?? `${JSON.stringify(chosen)} are no options of the pass "${name}".`;
  });
  const problems = passes.filter((pass) => typeof pass === 'string');
  if (problems.length > 0) return { problems };
  return runPasses(
    read.graph,
    (source, run) =>
      (passes as readonly AnyPass[]).reduce((graph, pass) => run(pass as unknown as StablePass, graph), source),
    options,
  );
}

/** Passes by name, made from their options; undefined when those do not fit. */
const replayable: Readonly<Record<string, (options: PassOptions) => AnyPass | undefined>> = {
  'fold-loop': () => anyPass(foldLoop),
  'fold-every-loop': () => anyPass(foldEveryLoop),
  'unroll-loop': () => anyPass(unrollLoop),
  'fold-constants': () => anyPass(foldConstants),
  cse: () => anyPass(cse),
  'remove-dead-code': () => anyPass(removeDeadCode),
  'flatten-rows': () => anyPass(flattenRows),
  'fuse-add-linear': () => anyPass(fuseAddLinear),
  'fuse-add-norm': () => anyPass(fuseAddNorm),
  'fuse-rotary': () => anyPass(fuseRotary),
  'join-rotary': () => anyPass(joinRotary),
  'stack-cache': (options) => {
    const layers = storedLayers(options);
    return layers && anyPass(stackCache(layers));
  },
  'depth-batch': ({ pageSize, groups, confidence, ...options }) => {
    const layers = storedLayers(options);
    const kind = oneOf(confidence, ['top1', 'margin', 'entropy']);
    if (!layers || !kind || typeof pageSize !== 'number' || typeof groups !== 'number') return undefined;
    return anyPass(depthBatch({ layers, pageSize, groups, confidence: kind }));
  },
  'propagate-exits': (options) => {
    const layers = storedLayers(options);
    return layers && anyPass(propagateExits(layers));
  },
  'insert-exit-heads': ({ mode, after, confidence }) => {
    if (typeof after !== 'object') return undefined;
    if (mode === 'exit-logits') return anyPass(insertExitHeads({ mode, after }));
    const kind = oneOf(confidence, ['top1', 'margin', 'entropy']);
    return mode === 'in-loop' && kind ? anyPass(insertExitHeads({ mode, after, confidence: kind })) : undefined;
  },
  'merge-lora': ({ strategy, compute = 'f32' }) => {
    const known = oneOf(strategy, ['auto', 'bake', 'keep', 'concatenate', 'gather']);
    const type = oneOf(compute, ['f32', 'f16', 'bf16']);
    return known && type && anyPass(mergeLora({ strategy: known, compute: type }));
  },
  'set-precision': ({ compute }) => {
    const known = oneOf(compute, ['f32', 'f16', 'bf16']);
    return known && anyPass(setPrecision({ compute: known }));
  },
  'take-apart': ({ keeps }) => {
    const kinds = typeof keeps === 'string' ? keeps.split(' ').filter((kind) => kind !== '') : undefined;
    return kinds?.every(isOpKind) ? anyPass(takeApart(new Set(kinds))) : undefined;
  },
};

/** Names of all passes, sorted. */
export const replayNames: readonly string[] = Object.keys(replayable).sort();

function storedLayers({ prelude, block, loops, coda }: PassOptions): StoredLayers | undefined {
  const [a, b, c, d] = [prelude, block, loops, coda].filter((count) => typeof count === 'number');
  if (a === undefined || b === undefined || c === undefined || d === undefined) return undefined;
  return { prelude: a, block: b, loops: c, coda: d };
}

function oneOf<T extends string>(value: PassOptions[string] | undefined, choices: readonly T[]): T | undefined {
  return choices.find((choice) => choice === value);
}

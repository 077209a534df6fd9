import { symbolsOf } from '../../ir/dims.ts';
import { definitions, type Graph, type LoopOp, type Op, type Value } from '../../ir/graph.ts';
import { formatType, sameType } from '../../ir/tensor-type.ts';
import type { WeightExpr } from '../../ir/weights.ts';
import { downstream, upstream } from '../insert-exit-heads/exit-tail.ts';
import { Refusal } from '../refusal.ts';
import type { StoredLayers } from '../stack-cache.ts';
import { type CacheLayers, findCacheLayers } from './cache-layers.ts';

/** A folded decoder taken apart: what runs once in front of the loop, at every depth, once behind it, and for logits. */
export interface Anatomy {
  readonly name: string;
  /** Every operation, a loop's body in place of the loop, in an order in which they can run. */
  readonly ops: readonly Op[];
  readonly makers: ReadonlyMap<Value, Op>;
  readonly weights: ReadonlyMap<Value, WeightExpr>;
  readonly inputs: ReadonlyMap<string, Value>;
  /** Names that the graph has for its sizes. */
  readonly sizes: { readonly batch: string; readonly sequence: string; readonly past: string };
  /** Undefined for an ordinary model, whose whole trunk is the block. */
  readonly loop: LoopAnatomy | undefined;
  /** The hidden state behind the block, [batch, sequence, hidden]; in a loop, behind one depth of it. */
  readonly behind: Value;
  /** The hidden state that the loop leaves; without a loop, `behind`. */
  readonly last: Value;
  /** The hidden state that becomes logits; without a coda, `last`. */
  readonly final: Value;
  readonly logits: Value;
  readonly layers: CacheLayers;
}

export interface LoopAnatomy {
  readonly loops: number;
  /** i64 [], as the body knows it. */
  readonly depth: Value;
  /** What the loop is given stacked by depth, by the body's parameter for one entry of it. */
  readonly stacked: ReadonlyMap<Value, Value>;
  /** The hidden state in front of depth 0. */
  readonly first: Value;
  /** The hidden state in front of a depth, as the body knows it. */
  readonly before: Value;
}

/**
 * Takes a folded graph apart.
 * @param expected how the model says that its layers run
 * @throws Refusal where the graph is no decoder of these layers with one hidden state and at most one loop
 */
export function anatomyOf(graph: Graph<'folded'>, expected: StoredLayers): Anatomy {
  const loop = findLoop(graph, expected.loops);
  const logits = graph.outputs.find(({ name }) => name === 'logits')?.value;
  if (!logits) throw new Refusal('There is no output "logits".');
  const makers = definitions(graph);
  const layers = findCacheLayers(graph, loop, makers, expected);
  const last = loop?.results[0] ?? finalHidden(graph, logits, undefined);
  const final = layers.coda.length > 0 ? finalHidden(graph, logits, last) : last;
  return {
    name: graph.name,
    ops: graph.ops.flatMap((op): readonly Op[] => (op.kind === 'loop' ? op.body.ops : [op])),
    makers,
    weights: new Map(graph.weights.map(({ value, expr }) => [value, expr])),
    inputs: new Map(graph.inputs.map((input) => [input.name, input])),
    sizes: sizesOf(graph),
    loop: loop && loopAnatomy(loop),
    behind: loop?.body.results[0] ?? last,
    last,
    final,
    logits,
    layers,
  };
}

/** The only loop, which carries the hidden state and nothing else. */
function findLoop(graph: Graph, loops: number): LoopOp | undefined {
  const found = graph.ops.filter((op): op is LoopOp => op.kind === 'loop');
  const [loop] = found;
  if (found.length > 1) throw new Refusal(`There are ${found.length} loops; a step runs one block.`);
  if ((loop?.attrs.loops ?? 1) !== loops) {
    const has = loop ? `a loop of ${loop.attrs.loops} depths` : 'no loop';
    throw new Refusal(`The graph has ${has}, where the model says that its block runs ${loops} times.`);
  }
  if (!loop) return undefined;
  const { carried, limited, stops } = loop.attrs;
  if (carried !== 1) {
    const names = loop.operands.slice(0, carried).map(({ name }) => `%${name}`);
    throw new Refusal(`The loop carries ${names.join(', ') || 'nothing'}; a step carries one hidden state.`);
  }
  if (limited || stops) throw new Refusal('The loop ends early by itself, which whoever drives steps does instead.');
  return loop;
}

function loopAnatomy({ attrs, operands, body }: LoopOp): LoopAnatomy {
  const [depth, before, ...each] = body.parameters as [Value, Value, ...Value[]];
  return {
    loops: attrs.loops,
    depth,
    stacked: new Map(each.map((parameter, i) => [parameter, operands[1 + i]!])),
    first: operands[0]!,
    before,
  };
}

/** What the last norm in front of the logits works on; `behind` is the hidden state of the loop in front of it. */
function finalHidden(graph: Graph, logits: Value, behind: Value | undefined): Value {
  const needed = upstream(graph.ops, new Set([logits]));
  const later = behind && downstream(graph.ops, new Set([behind]));
  const norm = graph.ops.findLast(
    (op) => (op.kind === 'rms_norm' || op.kind === 'layer_norm') && needed.has(op) && (!later || later.has(op)),
  );
  if (!norm) throw new Refusal('There is no norm in front of the logits, which tells the trunk from the head.');
  const hidden = norm.operands[0]!;
  if (behind ? !sameType(hidden.type, behind.type) : hidden.type.dims.length !== 3) {
    const expected = behind ? formatType(behind.type) : 'a hidden state';
    throw new Refusal(`The last norm in front of the logits is of ${formatType(hidden.type)}, not of ${expected}.`);
  }
  return hidden;
}

function sizesOf(graph: Graph): Anatomy['sizes'] {
  const name = (input: string, axis: number): string | undefined => {
    const dim = graph.inputs.find((value) => value.name === input)?.type.dims[axis];
    return dim !== undefined && symbolsOf(dim)[0] === dim ? dim : undefined;
  };
  const [batch, sequence] = [name('input_ids', 0), name('input_ids', 1)];
  if (batch === undefined || sequence === undefined) {
    throw new Refusal('There is no input "input_ids" with a size of its own for batch and sequence.');
  }
  return { batch, sequence, past: name('past_key_values.0.key', 2) ?? 'past' };
}

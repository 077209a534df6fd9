import { definitions, type Graph, type LoopOp, type Op, type Stage, type Value } from '../ir/graph.ts';
import type { StablePass } from './pass.ts';

/**
 * Drops what no output needs.
 *
 * Given: operations, weights, loop results, carried values and per-depth operands, some of which nothing uses.
 * Result: the same graph without them. A carried value goes when neither its result nor its parameter is used by
 * anything that stays; one that the body hands on as it came is the value from around the loop, and goes too.
 * Invariants: the interface stays, unused inputs included. Which depths run stays: a loop that stays keeps its limit and
 * its stop.
 * Edge cases: a loop whose only use is its own carried circle goes as a whole. An operation with several results stays
 * whole while one of them is used.
 */
export const removeDeadCode: StablePass = {
  name: 'remove-dead-code',
  numerics: 'exact',
  changesInterface: false,
  run(graph, { note }) {
    const handedOn = bypassUnchanged(graph);
    const live = liveValues(handedOn);
    const weights = handedOn.weights.filter(({ value }) => live.has(value));
    const ops = prune(handedOn.ops, live);
    const before = countOps(graph.ops);
    const after = countOps(ops);
    if (after < before) note(`dropped ${before - after} of ${before} operations`);
    const unused = graph.weights.length - weights.length;
    if (unused > 0) note(`dropped ${unused} of ${graph.weights.length} weights`);
    return { ...handedOn, weights, ops };
  },
};

/** Uses of a carried value that no depth changes become uses of the value that the loop was given. */
function bypassUnchanged<S extends Stage>(graph: Graph<S>): Graph<S> {
  const outer = new Map<Value, Value>();
  const resolve = (value: Value): Value => {
    const known = outer.get(value);
    return known ? resolve(known) : value;
  };
  // A loop's body comes first: what an inner loop hands on may be what makes an outer one hand it on.
  const visit = (ops: readonly Op[]): void => {
    for (const op of ops) {
      if (op.kind !== 'loop') continue;
      visit(op.body.ops);
      const first = op.attrs.stops ? 1 : 0;
      for (let i = 0; i < op.attrs.carried; i++) {
        const parameter = op.body.parameters[1 + i]!;
        if (resolve(op.body.results[first + i]!) !== parameter) continue;
        outer.set(parameter, op.operands[i]!);
        outer.set(op.results[i]!, op.operands[i]!);
      }
    }
  };
  visit(graph.ops);
  if (outer.size === 0) return graph;
  const rename = (ops: readonly Op[]): readonly Op[] =>
    ops.map((op): Op => {
      const operands = op.operands.map(resolve);
      if (op.kind !== 'loop') return { ...op, operands } as Op;
      return { ...op, operands, body: { ...op.body, ops: rename(op.body.ops), results: op.body.results.map(resolve) } };
    });
  return {
    ...graph,
    ops: rename(graph.ops),
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: resolve(value) })),
  };
}

function liveValues(graph: Graph): ReadonlySet<Value> {
  const makers = definitions(graph);
  const loopOfParameter = new Map<Value, LoopOp>();
  for (const op of makers.values()) {
    if (op.kind === 'loop') for (const parameter of op.body.parameters) loopOfParameter.set(parameter, op);
  }

  const live = new Set<Value>();
  const pending = graph.outputs.map(({ value }) => value);
  const carries = (loop: LoopOp, i: number) =>
    pending.push(loop.operands[i]!, loop.body.results[(loop.attrs.stops ? 1 : 0) + i]!);

  for (let value = pending.pop(); value; value = pending.pop()) {
    if (live.has(value)) continue;
    live.add(value);
    const maker = makers.get(value);
    const around = loopOfParameter.get(value);
    if (maker?.kind === 'loop') {
      const { carried, limited, stops } = maker.attrs;
      if (stops) pending.push(maker.body.results[0]!);
      if (limited) pending.push(maker.operands.at(-1)!);
      const i = maker.results.indexOf(value);
      if (i < carried) carries(maker, i);
      else pending.push(maker.body.results[(stops ? 1 : 0) + i]!);
    } else if (maker) {
      pending.push(...maker.operands);
    } else if (around) {
      const i = around.body.parameters.indexOf(value) - 1;
      if (i >= around.attrs.carried) pending.push(around.operands[i]!);
      else if (i >= 0) carries(around, i);
    }
  }
  return live;
}

function prune(ops: readonly Op[], live: ReadonlySet<Value>): readonly Op[] {
  return ops.flatMap((op): readonly Op[] => {
    if (op.kind === 'loop') {
      const pruned = pruneLoop(op, live);
      return pruned ? [pruned] : [];
    }
    return op.results.some((result) => live.has(result)) ? [op] : [];
  });
}

function pruneLoop(op: LoopOp, live: ReadonlySet<Value>): LoopOp | undefined {
  const { attrs, operands, results, body } = op;
  const first = attrs.stops ? 1 : 0;
  const isCarried = (i: number) => live.has(results[i]!) || live.has(body.parameters[1 + i]!);
  const carried = range(0, attrs.carried).filter(isCarried);
  const each = range(attrs.carried, attrs.carried + attrs.each).filter((i) => live.has(body.parameters[1 + i]!));
  const collected = range(attrs.carried, results.length).filter((i) => live.has(results[i]!));
  // A parameter lives only through something in the body that lives, and that only through a result or the stop.
  if (!results.some((result) => live.has(result))) return undefined;
  return {
    ...op,
    operands: [...[...carried, ...each].map((i) => operands[i]!), ...(attrs.limited ? [operands.at(-1)!] : [])],
    attrs: { ...attrs, carried: carried.length, each: each.length },
    results: [...carried, ...collected].map((i) => results[i]!),
    body: {
      parameters: [body.parameters[0]!, ...[...carried, ...each].map((i) => body.parameters[1 + i]!)],
      ops: prune(body.ops, live),
      results: [...body.results.slice(0, first), ...[...carried, ...collected].map((i) => body.results[first + i]!)],
    },
  };
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}

function countOps(ops: readonly Op[]): number {
  return ops.reduce((sum, op) => sum + 1 + (op.kind === 'loop' ? countOps(op.body.ops) : 0), 0);
}

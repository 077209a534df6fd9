import type { Flow } from './flow.ts';

/** What lies between one use of a weight and the next. */
export interface Interval {
  /** The first use and what both follows from it and leads to the second, in order. */
  readonly ops: readonly number[];
  /** The values, in order, through which every path from the first use to the second passes. */
  readonly cuts: readonly number[];
}

/**
 * The interval from operation `from` to operation `to`; without operations when `to` does not depend on `from`.
 * Linear in the operations between the two.
 */
export function intervalOf(flow: Flow, from: number, to: number): Interval {
  const reached = new Set([from]);
  for (let op = from + 1; op <= to; op++) {
    if (flow.ops[op]!.reads.some((id) => reached.has(flow.maker[id]!))) reached.add(op);
  }
  if (!reached.has(to)) return { ops: [], cuts: [] };

  const needed = new Set([to]);
  /** By value: the first operation met on the way back that reads it, which is its last reader. */
  const lastReader = new Map<number, number>();
  for (let op = to; op >= from; op--) {
    if (!needed.has(op)) continue;
    for (const id of flow.ops[op]!.reads) {
      const maker = flow.maker[id]!;
      if (!reached.has(maker) || op === from) continue;
      needed.add(maker);
      if (!lastReader.has(id)) lastReader.set(id, op);
    }
  }

  // A value that all paths pass is alone in being alive right after the operation that makes it, in any valid order.
  const ops: number[] = [];
  const cuts: number[] = [];
  const alive = new Set<number>();
  const dying = new Map<number, number[]>();
  for (let op = from; op < to; op++) {
    if (!needed.has(op)) continue;
    ops.push(op);
    for (const id of dying.get(op) ?? []) alive.delete(id);
    const born = flow.ops[op]!.results.filter((id) => lastReader.has(id));
    for (const id of born) {
      alive.add(id);
      const reader = lastReader.get(id)!;
      dying.set(reader, [...(dying.get(reader) ?? []), id]);
    }
    if (born.length === 1 && alive.size === 1) cuts.push(born[0]!);
  }
  return { ops, cuts };
}

/** Equal for intervals whose cuts are made alike: repetitions of one block have equal signatures. */
export function signature(flow: Flow, { cuts }: Interval): string {
  return cuts.map((id) => flow.ops[flow.maker[id]!]!.shape).join(' ');
}

import { weightKey } from '../../ir/weights.ts';
import type { Flow } from './flow.ts';
import type { Interval } from './interval.ts';

/** One operation on a way from value to value: entered by `operand`, left by `result`. */
export interface Step {
  readonly op: number;
  readonly operand: number;
  readonly result: number;
}

/** More places than this that look alike are not told apart. */
const mostAlike = 16;

/**
 * The results of operations that take one of `values` as `step` takes its operand: same kind, same attributes. Of several,
 * those that use the same weights as `step`, if any does: q_proj and k_proj read the same value.
 */
export function advance(flow: Flow, values: readonly number[], step: Step): readonly number[] {
  const model = flow.ops[step.op]!;
  let most = -1;
  let best = new Set<number>();
  for (const value of values) {
    for (const use of flow.users[value]!) {
      const op = flow.ops[use.op]!;
      if (use.operand !== step.operand || op.shape !== model.shape) continue;
      const alike = model.operands.filter((id, i) => flow.fixed[id] && op.operands[i] === id).length;
      if (alike > most) best = new Set();
      if (alike >= most) best.add(op.results[step.result]!);
      most = Math.max(most, alike);
    }
  }
  return sortedByWeights(flow, [...best]).slice(0, mostAlike);
}

/** Values that look alike, in an order that the order of the graph does not change: that of the weights they are made with. */
function sortedByWeights(flow: Flow, values: readonly number[]): readonly number[] {
  if (values.length < 2) return values;
  const keyed = values.map((value) => {
    const operands = flow.ops[flow.maker[value]!]!.operands.map((id) => flow.weights.get(id));
    return { value, key: operands.map((expr) => (expr ? weightKey(expr) : '')).join() };
  });
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return keyed.map(({ value }) => value);
}

/** An operation without counterpart, and what stands in its place. */
export interface Lost {
  readonly op: number;
  readonly instead: number | undefined;
}

/** What follows from the last use of a weight as the cuts between the first two uses follow from the first. */
export interface Ends {
  /** For each cut: the values that could be the same place after the last use. */
  readonly values: readonly (readonly number[])[];
  /** The first operation on the way that the last use does not have behind it. */
  readonly lost: Lost | undefined;
}

/** What leads to the first use of a weight as the cuts between the first two uses lead to the second. */
export interface Starts {
  readonly values: readonly (number | undefined)[];
  /** The last operation on the way that the first use does not have before it. */
  readonly lost: Lost | undefined;
}

/** For each cut of `interval`, the values that follow from operation `last` as the cut follows from the first use. */
export function endsAfter(flow: Flow, interval: Interval, last: number): Ends {
  const [first] = interval.ops;
  const distance = new Map<number, number>([[first!, 0]]);
  /** By operation of the interval, for its first result that leads on. */
  const after = new Map<number, readonly number[]>([[first!, flow.ops[last]!.results]]);
  let lost: Lost | undefined;
  for (const op of interval.ops.slice(1)) {
    let step: Step | undefined;
    let nearest = Number.POSITIVE_INFINITY;
    flow.ops[op]!.operands.forEach((id, operand) => {
      const far = distance.get(flow.maker[id]!);
      if (far === undefined || far >= nearest || after.get(flow.maker[id]!)?.length === 0) return;
      nearest = far;
      step = { op, operand, result: 0 };
    });
    if (!step) continue;
    distance.set(op, nearest + 1);
    const from = flow.ops[op]!.operands[step.operand]!;
    const result = flow.ops[flow.maker[from]!]!.results.indexOf(from);
    const before = after.get(flow.maker[from]!) ?? [];
    const values = before.map((id) => flow.ops[flow.maker[id]!]!.results[result]!);
    const found = advance(flow, values, step);
    after.set(op, found);
    if (!lost && values.length > 0 && found.length === 0) {
      const others = values.flatMap((id) => flow.users[id]!);
      lost = { op, instead: others.find((use) => use.operand === step?.operand)?.op };
    }
  }
  const values = interval.cuts.map((id) => {
    const maker = flow.maker[id]!;
    const result = flow.ops[maker]!.results.indexOf(id);
    return (after.get(maker) ?? []).map((value) => flow.ops[flow.maker[value]!]!.results[result]!);
  });
  return { values, lost };
}

/** For each cut of `interval`, the value that leads to the first use as the cut leads to the second, `to`. */
export function startsBefore(flow: Flow, interval: Interval, to: number): Starts {
  const [first] = interval.ops;
  const distance = new Map<number, number>([[to, 0]]);
  /** By operation of the interval, the one before the first use that it corresponds to. */
  const before = new Map<number, number>([[to, first!]]);
  let lost: Lost | undefined;
  const cuts = new Map<number, number | undefined>(interval.cuts.map((id) => [id, undefined]));
  const alike = (value: number, id: number): boolean => {
    const [left, right] = [flow.ops[flow.maker[value]!], flow.ops[flow.maker[id]!]!];
    return left?.shape === right.shape && left.results.indexOf(value) === right.results.indexOf(id);
  };
  for (const op of interval.ops.toReversed()) {
    // The nearest user that has a counterpart; of equally near ones one that the way goes on from.
    let best: { id: number; value: number; far: number; goesOn: boolean } | undefined;
    for (const id of flow.ops[op]!.results) {
      for (const use of flow.users[id]!) {
        const [counterpart, far] = [before.get(use.op), distance.get(use.op)];
        if (counterpart === undefined || far === undefined || (best && far > best.far)) continue;
        const value = flow.ops[counterpart]!.operands[use.operand]!;
        const goesOn = alike(value, id);
        if (!best || far < best.far || (goesOn && !best.goesOn)) best = { id, value, far, goesOn };
      }
    }
    if (!best) continue;
    const { id, value, far, goesOn } = best;
    if (cuts.has(id)) cuts.set(id, value);
    distance.set(op, far + 1);
    if (goesOn) before.set(op, flow.maker[value]!);
    else lost ??= { op, instead: flow.maker[value]! < 0 ? undefined : flow.maker[value]! };
  }
  return { values: interval.cuts.map((id) => cuts.get(id)), lost };
}

/** How far back `likeness` looks. */
const farthest = 6;

/** How much of what makes `a` and `b` is alike: more operations of equal kind and attributes in equal places. */
export function likeness(flow: Flow, a: number, b: number, far = farthest): number {
  if (a === b) return far;
  const [left, right] = [flow.ops[flow.maker[a]!], flow.ops[flow.maker[b]!]];
  if (far === 0 || !left || left.shape !== right?.shape) return 0;
  return left.operands.reduce((sum, id, i) => sum + likeness(flow, id, right.operands[i]!, far - 1), 1);
}

/** The one of `values` that is most like `model`, of equals the first; undefined when there is none. */
export function mostLike(flow: Flow, values: readonly number[], model: number): number | undefined {
  let best: number | undefined;
  let most = -1;
  for (const value of values) {
    const alike = likeness(flow, value, model);
    if (alike > most) [best, most] = [value, alike];
  }
  return best;
}

import type { Graph, LoopOp, Op, OpOf, Value } from '../../ir/graph.ts';
import type { WeightExpr } from '../../ir/weights.ts';
import { knownNumbers } from './known-numbers.ts';

/** One low_rank, and what is known of it where it stands. */
export interface LoraUpdate {
  readonly op: OpOf<'low_rank'>;
  readonly x: Value;
  readonly a: Factor;
  readonly b: Factor;
  readonly rank: number;
  readonly inputs: number;
  readonly outputs: number;
  /** The scale at each depth of {@link loop}, or the only one; undefined when the graph computes it. */
  readonly scales: readonly number[] | undefined;
  /** The innermost loop whose body it stands in. */
  readonly loop: LoopOp | undefined;
  /** How often it runs in one pass through the graph. */
  readonly runs: number;
  /** What it could be baked into, or why it cannot be. */
  readonly base: LoraBase | string;
}

/** Where a factor comes from: a weight, a slice of a stacked weight for each depth, or something computed. */
export type Factor =
  | { readonly kind: 'weight'; readonly value: Value; readonly expr: WeightExpr }
  | { readonly kind: 'per-depth'; readonly value: Value; readonly stacked: Value; readonly expr: WeightExpr }
  | { readonly kind: 'computed'; readonly value: Value };

/** `add` of `linear` and the update, neither of which anything else uses. */
export interface LoraBase {
  readonly add: OpOf<'add'>;
  readonly linear: OpOf<'linear'>;
  readonly weight: Value;
  readonly expr: WeightExpr;
}

/** Every update of the graph that adds something, loop bodies included, in order. */
export function findUpdates(graph: Graph): readonly LoraUpdate[] {
  const expressions = new Map(graph.weights.map(({ value, expr }) => [value, expr]));
  const users = usersOf(graph);
  const makers = new Map<Value, Op>();
  const updates: LoraUpdate[] = [];

  const visit = (ops: readonly Op[], loop: LoopOp | undefined, runs: number): void => {
    for (const op of ops) {
      for (const result of op.results) makers.set(result, op);
      if (op.kind === 'loop') visit(op.body.ops, op, runs * op.attrs.loops);
      if (op.kind !== 'low_rank') continue;
      const [x, a, b, scale] = op.operands as [Value, Value, Value, Value];
      const [rank, inputs] = a.type.dims as [number, number];
      if (rank === 0) continue;
      const factors = { a: factor(a, loop, expressions), b: factor(b, loop, expressions) };
      const scales = numbersOf(scale, loop, expressions, makers);
      const base = baseOf(op, users, makers, expressions, scales, [factors.a, factors.b]);
      const outputs = b.type.dims[0] as number;
      updates.push({ op, x, ...factors, rank, inputs, outputs, scales, loop, runs, base });
    }
  };
  visit(graph.ops, undefined, 1);
  return updates;
}

function factor(value: Value, loop: LoopOp | undefined, expressions: ReadonlyMap<Value, WeightExpr>): Factor {
  const own = expressions.get(value);
  if (own) return { kind: 'weight', value, expr: own };
  const stacked = stackedOperand(value, loop);
  const expr = stacked && expressions.get(stacked);
  return expr ? { kind: 'per-depth', value, stacked, expr } : { kind: 'computed', value };
}

/** The operand of which a body's parameter is the slice of each depth; undefined for any other value. */
function stackedOperand(value: Value, loop: LoopOp | undefined): Value | undefined {
  const i = loop ? loop.body.parameters.indexOf(value) - 1 : -1;
  return loop && i >= loop.attrs.carried ? loop.operands[i] : undefined;
}

/** The number that a scalar is at each depth, if the graph says so. */
function numbersOf(
  value: Value,
  loop: LoopOp | undefined,
  expressions: ReadonlyMap<Value, WeightExpr>,
  makers: ReadonlyMap<Value, Op>,
): readonly number[] | undefined {
  return knownNumbers(stackedOperand(value, loop) ?? value, expressions, makers);
}

function baseOf(
  op: OpOf<'low_rank'>,
  users: ReadonlyMap<Value, readonly (Op | undefined)[]>,
  makers: ReadonlyMap<Value, Op>,
  expressions: ReadonlyMap<Value, WeightExpr>,
  scales: readonly number[] | undefined,
  factors: readonly Factor[],
): LoraBase | string {
  if (factors.some(({ kind }) => kind === 'per-depth')) return 'it differs from depth to depth in a loop';
  if (factors.some(({ kind }) => kind === 'computed')) return 'its factors are computed';
  if (scales?.length !== 1) return 'its scale is computed';
  const [add, ...others] = users.get(op.results[0]!) ?? [];
  if (add?.kind !== 'add' || others.length > 0) return 'it is not added to just one product';
  const linear = makers.get(add.operands.find((operand) => operand !== op.results[0])!);
  if (linear?.kind !== 'linear' || linear.operands[0] !== op.operands[0])
    return 'it is not added to a product of its x';
  if (users.get(linear.results[0]!)?.length !== 1) return 'the product that it is added to is used elsewhere';
  const weight = linear.operands[1]!;
  const expr = expressions.get(weight);
  return expr ? { add, linear, weight, expr } : 'the weight that it is added to is computed';
}

/** Who uses each value; undefined stands for the result of a body or of the graph. */
function usersOf(graph: Graph): ReadonlyMap<Value, readonly (Op | undefined)[]> {
  const users = new Map<Value, (Op | undefined)[]>();
  const use = (value: Value, user: Op | undefined): void => {
    const list = users.get(value);
    if (list) list.push(user);
    else users.set(value, [user]);
  };
  const visit = (ops: readonly Op[]): void => {
    for (const op of ops) {
      for (const operand of op.operands) use(operand, op);
      if (op.kind !== 'loop') continue;
      visit(op.body.ops);
      for (const result of op.body.results) use(result, undefined);
    }
  };
  visit(graph.ops);
  for (const { value } of graph.outputs) use(value, undefined);
  return users;
}

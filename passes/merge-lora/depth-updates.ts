import type { Graph, Op, OpOf, Value } from '../../ir/graph.ts';
import { type WeightExpr, weightType } from '../../ir/weights.ts';
import { knownNumbers } from './known-numbers.ts';

/** One low_rank_by_depth whose factors are weights of their own for every depth. */
export interface DepthUpdate {
  readonly op: OpOf<'low_rank_by_depth'>;
  readonly x: Value;
  /** i64 [ROWS]. */
  readonly depth: Value;
  readonly depths: readonly DepthFactors[];
  readonly inputs: number;
  readonly outputs: number;
}

/** An update at one depth: a [rank, inputs], b [outputs, rank]; where some depths have a higher rank, nothing is filled up. */
export interface DepthFactors {
  readonly rank: number;
  readonly a: WeightExpr;
  readonly b: WeightExpr;
  readonly scale: number;
}

/** Every update by depth that adds something, in order, and those of which the depths cannot be told apart, with the reason. */
export function findDepthUpdates(graph: Graph): {
  readonly updates: readonly DepthUpdate[];
  readonly others: readonly { readonly op: OpOf<'low_rank_by_depth'>; readonly why: string }[];
} {
  const expressions = new Map(graph.weights.map(({ value, expr }) => [value, expr]));
  const makers = new Map<Value, Op>();
  const updates: DepthUpdate[] = [];
  const others: { readonly op: OpOf<'low_rank_by_depth'>; readonly why: string }[] = [];
  for (const op of graph.ops) {
    for (const result of op.results) makers.set(result, op);
    if (op.kind !== 'low_rank_by_depth') continue;
    const [x, a, b, scale, depth] = op.operands as [Value, Value, Value, Value, Value];
    const [loops, rank, inputs] = a.type.dims as [number, number, number];
    if (rank === 0) continue;
    const scales = knownNumbers(scale, expressions, makers);
    const depths = factorsOf(expressions.get(a), expressions.get(b), scales, loops);
    if (typeof depths === 'string') others.push({ op, why: depths });
    else updates.push({ op, x, depth, depths, inputs, outputs: b.type.dims[1] as number });
  }
  return { updates, others };
}

function factorsOf(
  a: WeightExpr | undefined,
  b: WeightExpr | undefined,
  scales: readonly number[] | undefined,
  loops: number,
): readonly DepthFactors[] | string {
  if (a?.kind !== 'stack' || b?.kind !== 'stack') return 'its factors are not stacked from weights';
  if (scales?.length !== loops) return 'its scale is computed';
  const rankOf = (expr: WeightExpr, axis: number): number => weightType(expr).dims[axis]!;
  if (a.of.some((part, d) => rankOf(part, 0) !== rankOf(b.of[d]!, 1))) return 'its factors differ in their ranks';
  const [inputs, outputs] = [weightType(a).dims[2], weightType(b).dims[1]];
  const whole = a.of.every((part, d) => {
    const empty = rankOf(part, 0) === 0;
    return empty || (rankOf(part, 1) === inputs && rankOf(b.of[d]!, 0) === outputs);
  });
  if (!whole) return 'its factors are filled up along other axes than the rank';
  return a.of.map((part, d) => ({ rank: rankOf(part, 0), a: part, b: b.of[d]!, scale: scales[d]! }));
}

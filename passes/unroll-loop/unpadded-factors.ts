import { allOps, type LoopOp, type OpOf, type Value } from '../../ir/graph.ts';
import { type WeightExpr, weightType } from '../../ir/weights.ts';

/**
 * The parameters of a loop that are LoRA factors filled up with zeros to one rank, and that can have their own rank at
 * each depth again: only `low_rank` uses them, and the other factor goes with them.
 */
export function unpaddedFactors(loop: LoopOp, weights: ReadonlyMap<Value, WeightExpr>): ReadonlySet<Value> {
  const { loops, carried, each } = loop.attrs;
  const stacks = new Map<Value, readonly WeightExpr[]>();
  for (let i = carried; i < carried + each; i++) {
    const expr = weights.get(loop.operands[i]!);
    if (expr?.kind === 'stack') stacks.set(loop.body.parameters[1 + i]!, expr.of);
  }
  for (const value of loop.body.results) stacks.delete(value);
  const updates: OpOf<'low_rank'>[] = [];
  for (const op of allOps(loop.body)) {
    if (op.kind === 'low_rank') updates.push(op);
    op.operands.forEach((value, i) => {
      if (op.kind !== 'low_rank' || (i !== 1 && i !== 2)) stacks.delete(value);
    });
    if (op.kind === 'loop') for (const value of op.body.results) stacks.delete(value);
  }
  // Ranks have to agree depth by depth; where one factor keeps its zeros, so does the other, and whoever shares it.
  const fits = ({ operands: [, a, b] }: OpOf<'low_rank'>): boolean => {
    const [left, right] = [stacks.get(a!), stacks.get(b!)];
    if (!left || !right) return !left && !right;
    return Array.from({ length: loops }, (_, d) => d).every(
      (d) => weightType(left[d]!).dims[0] === weightType(right[d]!).dims[1],
    );
  };
  for (let odd = updates.find((op) => !fits(op)); odd; odd = updates.find((op) => !fits(op))) {
    for (const factor of odd.operands.slice(1, 3)) stacks.delete(factor);
  }
  return new Set(stacks.keys());
}

import type { Graph, Op, OpOf, Value } from '../ir/graph.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import { sameType } from '../ir/tensor-type.ts';
import type { StablePass } from './pass.ts';

/**
 * Adds and normalizes in one go.
 *
 * Given: `h = x + y` with x and y of one type, and `rms_norm(h, scale)`.
 * Result: `n, h = add_rms_norm(x, y, scale)` where the sum was. Whoever else uses the sum goes on doing so.
 * Edge cases: of several norms of one sum the first is fused. A norm in a loop's body of a sum outside of it is left
 * alone, and so is one whose scale is computed behind the sum.
 */
export const fuseAddNorm: StablePass = {
  name: 'fuse-add-norm',
  numerics: 'exact',
  changesInterface: false,
  run(graph) {
    const norms = normsOfSums(graph);
    const normed = new Map<Op, Value>();
    return rewriteGraph(graph, graph.stage, (op, { builder, operands, map }) => {
      const done = normed.get(op);
      if (done) return [done];
      const norm = norms.get(op);
      if (!norm) return undefined;
      const [x, y] = operands as [Value, Value];
      const { epsilon } = norm.attrs;
      const [result, sum] = builder.inScope(norm.scope, () =>
        builder.addAll('add_rms_norm', [x, y, map(norm.operands[1]!)], { epsilon }, norm.results[0]!.name),
      ) as [Value, Value];
      normed.set(norm, result);
      return [sum];
    });
  },
};

/** Which norm each addition is fused with. */
function normsOfSums({ ops }: Pick<Graph, 'ops'>): ReadonlyMap<Op, OpOf<'rms_norm'>> {
  const found = new Map<Op, OpOf<'rms_norm'>>();
  const search = (list: readonly Op[]): void => {
    const positions = new Map<Value, number>();
    const taken = new Set<Op>();
    list.forEach((op, i) => {
      for (const result of op.results) positions.set(result, i);
      if (op.kind === 'loop') search(op.body.ops);
      if (op.kind !== 'rms_norm') return;
      const at = positions.get(op.operands[0]!);
      const sum = at === undefined ? undefined : list[at]!;
      if (sum?.kind !== 'add' || taken.has(sum) || !sameType(sum.operands[0]!.type, sum.operands[1]!.type)) return;
      // What is made outside of this list, weights above all, is there from the start.
      if ((positions.get(op.operands[1]!) ?? -1) > at!) return;
      taken.add(sum);
      found.set(sum, op);
    });
  };
  search(ops);
  return found;
}

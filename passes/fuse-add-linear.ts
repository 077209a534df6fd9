import { definitions, type Op, type Value } from '../ir/graph.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import { sameType } from '../ir/tensor-type.ts';
import type { StablePass } from './pass.ts';
import { useCounts } from './use-counts.ts';

/**
 * Adds while multiplying.
 *
 * Given: `y + linear(x, W)` where nothing else uses the product: residual streams and LoRA updates.
 * Result: `linear(x, W, y)` in the product's scope, which targets compute by accumulating onto y.
 * Leaves to remove-dead-code: the product without y.
 * Edge case: a product that has a bias already is left alone; of two products the one on the right takes the other.
 */
export const fuseAddLinear: StablePass = {
  name: 'fuse-add-linear',
  numerics: 'reassociates',
  changesInterface: false,
  run(graph) {
    const made = definitions(graph);
    const count = useCounts(graph);
    const product = (value: Value): Op | undefined => {
      const maker = made.get(value);
      return maker?.kind === 'linear' && maker.operands.length === 2 && count(value) === 1 ? maker : undefined;
    };
    return rewriteGraph(graph, graph.stage, (op, { builder, operands, map }) => {
      if (op.kind !== 'add' || !sameType(op.operands[0]!.type, op.operands[1]!.type)) return undefined;
      const right = product(op.operands[1]!);
      const linear = right ?? product(op.operands[0]!);
      if (!linear) return undefined;
      const [x, weight] = linear.operands.map(map) as [Value, Value];
      const sum = [x, weight, operands[right ? 0 : 1]] as const;
      return [builder.inScope(linear.scope, () => builder.add('linear', sum, {}, op.results[0]!.name))];
    });
  },
};

import { type Dim, evaluateDim, symbolsOf } from '../../ir/dims.ts';
import { type DType, isFloat } from '../../ir/dtype.ts';
import { type Graph, type Op, uses, type Value } from '../../ir/graph.ts';
import { roundTensor } from '../../ir/interpret/round-tensor.ts';
import { countOf, makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import type { FileWeight } from '../../ir/weights.ts';
import { randomStream } from './random.ts';

/** A tensor that any file could hold, the same for the same name: floats between −1 and 1, as its dtype has them. */
export function randomWeight({ file, tensor, dtype, dims }: FileWeight): Tensor {
  return randomTensor(dtype, dims, `${file} ${tensor}`);
}

/** Floats between −1 and 1, integers below `limit`, truths. */
export function randomTensor(dtype: DType, shape: readonly number[], seed: string, limit = 2): Tensor {
  const random = randomStream(seed);
  const draw = isFloat(dtype)
    ? () => 2 * random() - 1
    : () => Math.floor(random() * (dtype === 'bool' ? 2 : Math.max(limit, 1)));
  return roundTensor(makeTensor(dtype, shape, Array.from({ length: countOf(shape) }, draw)));
}

/**
 * Inputs that a graph can run on: named sizes from 1 to 4 (`past` from 0 to 3), or as `sizes` says, floats between −1
 * and 1, integers that may look up entries of whatever they are used to look up in; masks hold 0 and 1.
 */
export function randomInputs(
  graph: Graph,
  seed: string,
  sizes: Readonly<Record<string, number>> = {},
): ReadonlyMap<string, Tensor> {
  const random = randomStream(seed);
  const bound = new Map(Object.entries(sizes));
  const symbols = new Set(graph.inputs.flatMap(({ type }) => type.dims.flatMap(symbolsOf)));
  for (const symbol of [...symbols].sort()) {
    const size = Math.floor(random() * 4) + (symbol === 'past' ? 0 : 1);
    if (!bound.has(symbol)) bound.set(symbol, size);
  }
  const users = uses(graph);
  const limitOf = (input: Value): number => {
    if (input.name.endsWith('mask')) return 2;
    let limit = 4;
    for (const op of users.get(input) ?? []) {
      const entries = op.operands.map((operand, i) => (operand === input ? entriesFor(op, i) : undefined));
      for (const count of entries) if (count !== undefined) limit = Math.min(limit, evaluateDim(count, bound));
    }
    return limit;
  };
  return new Map(
    graph.inputs.map((input) => {
      const shape = input.type.dims.map((dim) => evaluateDim(dim, bound));
      return [input.name, randomTensor(input.type.dtype, shape, `${seed} ${input.name}`, limitOf(input))];
    }),
  );
}

/** How many entries there are where an operation looks up by its operand; undefined for one that it does not look up by. */
function entriesFor(op: Op, operand: number): Dim | undefined {
  if (op.kind === 'gather' && operand === 1) return op.operands[0]!.type.dims[op.attrs.axis];
  if (op.kind === 'low_rank_by_depth' && operand === 4) return op.operands[1]!.type.dims[0];
  if (op.kind === 'paged_attention' && operand >= 5 && operand % 2 === 1) return op.operands[3]!.type.dims[0];
  return undefined;
}

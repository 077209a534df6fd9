import { type DType, isFloat } from '../../ir/dtype.ts';
import type { AttrsOf, LoopOp, Op } from '../../ir/graph.ts';
import { type Kernel, kernels } from '../../ir/interpret/kernels.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import type { OpKind } from '../../ir/op-table.ts';
import { roundTo } from '../../ir/rounding.ts';
import type { Folding } from './rules.ts';

/** The most elements that a constant may come to have: past them a graph is better off computing. */
const largestConstant = 256;

/**
 * What each of these gives is the same on every machine: arithmetic that IEEE 754 defines to the last bit, truths, and
 * moving numbers about. Functions like `exp` differ from one Node to the next and are left to the runtime.
 */
const evaluated: ReadonlySet<OpKind> = new Set([
  ...(['add', 'sub', 'mul', 'div', 'max', 'min', 'neg', 'sqrt', 'reciprocal', 'relu', 'cast'] as const),
  ...(['equal', 'less', 'less_equal', 'and', 'or', 'not', 'where'] as const),
  ...(['reshape', 'transpose', 'concat', 'stack', 'slice', 'select', 'gather'] as const),
  ...(['reduce_sum', 'reduce_max', 'cumsum', 'size'] as const),
]);

/** The constant that `op` comes to; undefined when it is not known, too large, or would have to be rounded. */
export function evaluateConstant(op: Exclude<Op, LoopOp>, f: Folding): AttrsOf<'constant'> | undefined {
  const [result] = op.results;
  if (!evaluated.has(op.kind) || !result) return undefined;
  const dims = numbers(result.type.dims);
  if (!dims || dims.reduce((product, dim) => product * dim, 1) > largestConstant) return undefined;
  const operands: Tensor[] = [];
  for (const operand of op.operands) {
    const constant = f.madeBy('constant', operand);
    if (!constant) return undefined;
    operands.push(makeTensor(constant.attrs.dtype, constant.attrs.dims, constant.attrs.values));
  }
  // Every dim of a constant is a number, but those in attributes may be names.
  if (op.kind === 'size' && typeof op.attrs.of !== 'number') return undefined;
  if (op.kind === 'slice' && (typeof op.attrs.start !== 'number' || typeof op.attrs.end !== 'number')) return undefined;
  const kernel = kernels[op.kind] as Kernel<typeof op.kind>;
  const [computed] = kernel(operands, op.attrs, (dim) => dim as number);
  const { dtype } = result.type;
  const values = Array.from(computed!.data);
  return values.every((x) => holds(dtype, x)) ? { dtype, dims, values } : undefined;
}

function holds(dtype: DType, x: number): boolean {
  return isFloat(dtype) ? Object.is(roundTo(dtype, x), x) : Number.isSafeInteger(x);
}

function numbers(dims: readonly (number | string)[]): readonly number[] | undefined {
  return dims.every((dim) => typeof dim === 'number') ? (dims as readonly number[]) : undefined;
}

import { evaluateDim, parseDim, symbolsOf } from '../../../ir/dims.ts';
import type { Value } from '../../../ir/graph.ts';
import { formatShape, type Tensor } from '../../../ir/interpret/tensor.ts';
import { tensor } from '../../../ir/tensor-type.ts';
import type { OnnxValueInfo } from '../onnx-model.ts';
import { dtypeOf } from './dtype-of.ts';

/** An input as a value of the IR, whose dims bind names; axes that the model leaves open get names that nobody has. */
export function inputValue({ name, elementType, dims }: OnnxValueInfo, index: number): Value | undefined {
  const dtype = elementType && dtypeOf(elementType);
  if (dtype === undefined || dims === undefined) return undefined;
  const named = dims.map((dim, axis) => {
    const known = typeof dim === 'string' ? parseDim(dim) : dim;
    return known ?? `unnamed_${index}_${axis}`;
  });
  return { name, type: tensor(dtype, named) };
}

/** What is wrong with a tensor of which the model says that it is `declared`; undefined when it fits. */
export function declaredProblem(
  declared: OnnxValueInfo,
  found: Tensor,
  sizes: ReadonlyMap<string, number>,
): string | undefined {
  const { name, elementType, dims } = declared;
  const wrongType = elementType !== undefined && dtypeOf(elementType) !== found.dtype;
  const fits =
    dims === undefined ||
    (dims.length === found.shape.length &&
      dims.every((dim, axis) => (sizeOf(dim, sizes) ?? found.shape[axis]) === found.shape[axis]));
  if (!wrongType && fits) return undefined;
  const shape = dims === undefined ? '' : `[${dims.map((dim) => dim ?? '?').join(',')}]`;
  return `makes ${formatShape(found)} of "${name}", which is declared ${elementType}${shape}`;
}

/** The size that a declared dim comes to, if the inputs tell. */
function sizeOf(dim: number | string | undefined, sizes: ReadonlyMap<string, number>): number | undefined {
  if (typeof dim !== 'string') return dim;
  const parsed = parseDim(dim);
  const known = parsed !== undefined && symbolsOf(parsed).every((symbol) => sizes.has(symbol));
  return known ? evaluateDim(parsed, sizes) : undefined;
}

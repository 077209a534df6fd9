import { decodeTensor } from '../../../ir/tensor-bytes.ts';
import { dtypeOf } from '../../onnx/execute/dtype-of.ts';
import type { OnnxElementType, OnnxTensor } from '../../onnx/onnx-model.ts';

/** A size: its number, its name, or nothing known. */
export type Size = number | string | undefined;

/** What is known of a value before the graph runs. */
export interface ValueFacts {
  readonly name: string;
  readonly type: OnnxElementType | undefined;
  /** Undefined: not even how many axes there are. */
  readonly dims: readonly Size[] | undefined;
  /** `given`: an initializer or a Constant; `computed`: made of such; undefined: known only when the graph runs. */
  readonly constant: 'given' | 'computed' | undefined;
  /** The elements of a small constant, where they are at hand. */
  readonly numbers?: readonly number[];
}

/** Larger constants are weights, and nothing asks for their elements. */
const mostNumbers = 4096;

/** What is known of an initializer, or of a tensor in an attribute. */
export function factsOfTensor(tensor: OnnxTensor, name = tensor.name): ValueFacts {
  const numbers = numbersOf(tensor);
  return { name, type: tensor.elementType, dims: tensor.dims, constant: 'given', ...(numbers && { numbers }) };
}

/** How many elements a tensor of known sizes has; undefined where a size is not a number. */
export function countOfDims(dims: readonly Size[] | undefined): number | undefined {
  if (!dims?.every((size): size is number => typeof size === 'number')) return undefined;
  return dims.reduce((product, size) => product * size, 1);
}

function numbersOf({ elementType, dims, data }: OnnxTensor): readonly number[] | undefined {
  const dtype = dtypeOf(elementType);
  const count = countOfDims(dims)!;
  if (!dtype || data.kind !== 'inline' || count > mostNumbers) return undefined;
  try {
    return [...decodeTensor(dtype, data.bytes, count)];
  } catch {
    // Bytes that are not what dims say are somebody else's finding.
    return undefined;
  }
}

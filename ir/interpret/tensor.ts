import type { DType } from '../dtype.ts';
import { invariant } from '../invariant.ts';

/**
 * A tensor with its numbers, in C order. Every dtype is kept in float64: token ids, positions and masks (0 and 1) fit
 * exactly, and so does whatever f32, f16 or bf16 holds; integers do not wrap around at the end of their type.
 * Nobody writes to `data` once the tensor is made, so tensors may share it.
 */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** A tensor from numbers that are there already, or of zeros. */
export function makeTensor(dtype: DType, shape: readonly number[], data?: Float64Array | readonly number[]): Tensor {
  const count = countOf(shape);
  const numbers = data === undefined ? new Float64Array(count) : asFloat64(data);
  invariant(numbers.length === count, `${numbers.length} numbers for a tensor ${dtype}[${shape}]`);
  return { dtype, shape, data: numbers };
}

/** A tensor of one number and no axes. */
export function scalar(dtype: DType, x: number): Tensor {
  return { dtype, shape: [], data: Float64Array.of(x) };
}

/** How many elements a shape has. */
export function countOf(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** How far apart neighbours along each axis lie, in elements, in C order. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** As the text form writes a type: `f32[2,3]`. */
export function formatShape({ dtype, shape }: Tensor): string {
  return `${dtype}[${shape}]`;
}

/** An axis in the middle of a shape: `outer` runs of `size` elements that lie `inner` apart. */
export interface AxisSpan {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

export function axisSpan(shape: readonly number[], axis: number): AxisSpan {
  return { outer: countOf(shape.slice(0, axis)), size: shape[axis]!, inner: countOf(shape.slice(axis + 1)) };
}

function asFloat64(data: Float64Array | readonly number[]): Float64Array {
  return data instanceof Float64Array ? data : Float64Array.from(data);
}

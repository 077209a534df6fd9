import { type Dim, multiplyDims } from './dims.ts';
import type { DType } from './dtype.ts';

/** What a value is: its element type and the size of each axis. */
export interface TensorType {
  readonly dtype: DType;
  readonly dims: readonly Dim[];
}

export function tensor(dtype: DType, dims: readonly Dim[]): TensorType {
  return { dtype, dims };
}

export function sameDims(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

export function sameType(a: TensorType, b: TensorType): boolean {
  return a.dtype === b.dtype && sameDims(a.dims, b.dims);
}

/** As the text form writes it: `f32[batch,sequence,64]`. */
export function formatType(type: TensorType): string {
  return `${type.dtype}[${type.dims.join(',')}]`;
}

/** How many elements: a dim, since axes may be named. */
export function elementCount(dims: readonly Dim[]): Dim {
  return multiplyDims(1, ...dims);
}

/** NumPy's broadcasting; undefined when the two do not go together. A named dim only meets itself or 1. */
export function broadcastDims(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] | undefined {
  const rank = Math.max(a.length, b.length);
  const dims: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left === right || right === 1) dims.push(left);
    else if (left === 1) dims.push(right);
    else return undefined;
  }
  return dims;
}

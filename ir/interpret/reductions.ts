import { isFloat } from '../dtype.ts';
import { mapTensor } from './elementwise.ts';
import { axisSpan, countOf, makeTensor, type Tensor } from './tensor.ts';

/** Folds an axis into one number, which stays as an axis of size 1 if `keep`. */
export function reduce(
  x: Tensor,
  axis: number,
  keep: boolean,
  initial: number,
  f: (soFar: number, next: number) => number,
): Tensor {
  const { outer, size, inner } = axisSpan(x.shape, axis);
  const data = new Float64Array(outer * inner).fill(initial);
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < size; n++) {
      const from = (o * size + n) * inner;
      for (let i = 0; i < inner; i++) data[o * inner + i] = f(data[o * inner + i]!, x.data[from + i]!);
    }
  }
  const shape = keep ? x.shape.map((s, i) => (i === axis ? 1 : s)) : x.shape.filter((_, i) => i !== axis);
  return { dtype: x.dtype, shape, data };
}

export function reduceSum(x: Tensor, axis: number, keep: boolean): Tensor {
  return reduce(x, axis, keep, 0, (a, b) => a + b);
}

/** Integers lose the fraction of their mean. */
export function reduceMean(x: Tensor, axis: number, keep: boolean): Tensor {
  const count = x.shape[axis]!;
  return mapTensor(reduceSum(x, axis, keep), isFloat(x.dtype) ? (v) => v / count : (v) => Math.trunc(v / count));
}

export function reduceMax(x: Tensor, axis: number, keep: boolean): Tensor {
  return reduce(x, axis, keep, Number.NEGATIVE_INFINITY, Math.max);
}

/** Running sums, each element included in its own. */
export function cumsum(x: Tensor, axis: number): Tensor {
  const { size, inner } = axisSpan(x.shape, axis);
  const data = x.data.slice();
  for (let i = 0; i < data.length; i++) {
    if (Math.floor(i / inner) % size > 0) data[i]! += data[i - inner]!;
  }
  return { dtype: x.dtype, shape: x.shape, data };
}

export function softmax(x: Tensor, axis: number): Tensor {
  const { outer, size, inner } = axisSpan(x.shape, axis);
  const data = new Float64Array(x.data.length);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const start = o * size * inner + i;
      let largest = Number.NEGATIVE_INFINITY;
      for (let n = 0; n < size; n++) largest = Math.max(largest, x.data[start + n * inner]!);
      let sum = 0;
      for (let n = 0; n < size; n++) {
        const weight = Math.exp(x.data[start + n * inner]! - largest);
        data[start + n * inner] = weight;
        sum += weight;
      }
      for (let n = 0; n < size; n++) data[start + n * inner]! /= sum;
    }
  }
  return { dtype: x.dtype, shape: x.shape, data };
}

/** The `k` largest of the last axis, largest first, and where they are; the lower index wins a tie. */
export function topK(x: Tensor, k: number): readonly [values: Tensor, indices: Tensor] {
  const size = x.shape.at(-1)!;
  const rows = countOf(x.shape.slice(0, -1));
  const shape = [...x.shape.slice(0, -1), k];
  const values = makeTensor(x.dtype, shape);
  const indices = makeTensor('i64', shape);
  for (let row = 0; row < rows; row++) {
    const best: number[] = [];
    const at = (n: number) => x.data[row * size + n]!;
    for (let n = 0; n < size; n++) {
      if (best.length === k && !(at(n) > at(best[k - 1]!))) continue;
      let place = best.length;
      while (place > 0 && at(n) > at(best[place - 1]!)) place--;
      best.splice(place, 0, n);
      if (best.length > k) best.pop();
    }
    best.forEach((n, i) => {
      values.data[row * k + i] = at(n);
      indices.data[row * k + i] = n;
    });
  }
  return [values, indices];
}

import { invariant } from '../invariant.ts';
import { axisSpan, countOf, formatShape, stridesOf, type Tensor } from './tensor.ts';

/** The same numbers, in the same order, under another shape. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  invariant(countOf(shape) === x.data.length, `cannot reshape ${formatShape(x)} to [${shape}]`);
  return { dtype: x.dtype, shape, data: x.data };
}

/** Repeats axes of size 1, and leading axes, until the shape is `shape`. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  if (x.shape.length === shape.length && x.shape.every((size, axis) => size === shape[axis])) return x;
  const lead = shape.length - x.shape.length;
  const strides = stridesOf(x.shape);
  const steps = shape.map((_, axis) => (axis < lead || x.shape[axis - lead] === 1 ? 0 : strides[axis - lead]!));
  return { dtype: x.dtype, shape, data: copyStrided(x.data, shape, steps, 0) };
}

/** Axis `i` of the result is axis `perm[i]` of `x`. */
export function transpose(x: Tensor, perm: readonly number[]): Tensor {
  const strides = stridesOf(x.shape);
  const shape = perm.map((axis) => x.shape[axis]!);
  const steps = perm.map((axis) => strides[axis]!);
  return { dtype: x.dtype, shape, data: copyStrided(x.data, shape, steps, 0) };
}

/** Elements `start`, `start + step` … of one axis, `count` of them; `step` may be negative. */
export function slice(x: Tensor, axis: number, start: number, count: number, step = 1): Tensor {
  const last = start + (count - 1) * step;
  const fits = count === 0 || (start >= 0 && last >= 0 && start < x.shape[axis]! && last < x.shape[axis]!);
  invariant(count >= 0 && fits, `cannot take ${count} elements from ${start} of axis ${axis} of ${formatShape(x)}`);
  const strides = stridesOf(x.shape);
  const shape = x.shape.map((size, i) => (i === axis ? count : size));
  const steps = strides.map((stride, i) => (i === axis ? stride * step : stride));
  return { dtype: x.dtype, shape, data: copyStrided(x.data, shape, steps, start * strides[axis]!) };
}

/** Element `index` of an axis; the axis goes. */
export function select(x: Tensor, axis: number, index: number): Tensor {
  const one = slice(x, axis, index, 1);
  return reshape(
    one,
    one.shape.filter((_, i) => i !== axis),
  );
}

/** One after the other along an axis. */
export function concat(inputs: readonly Tensor[], axis: number): Tensor {
  const first = inputs[0]!;
  const along = inputs.reduce((sum, x) => sum + x.shape[axis]!, 0);
  const shape = first.shape.map((size, i) => (i === axis ? along : size));
  const { outer, inner } = axisSpan(shape, axis);
  const data = new Float64Array(countOf(shape));
  let start = 0;
  for (const x of inputs) {
    const run = x.shape[axis]! * inner;
    for (let o = 0; o < outer; o++) data.set(x.data.subarray(o * run, (o + 1) * run), start + o * along * inner);
    start += run;
  }
  return { dtype: first.dtype, shape, data };
}

/** Along a new leading axis. */
export function stack(inputs: readonly Tensor[]): Tensor {
  return concat(
    inputs.map((x) => reshape(x, [1, ...x.shape])),
    0,
  );
}

/** Entries of one axis by number; the axes of `indices` take its place. */
export function gather(x: Tensor, indices: Tensor, axis: number): Tensor {
  const { outer, size, inner } = axisSpan(x.shape, axis);
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  const data = new Float64Array(countOf(shape));
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (const index of indices.data) {
      invariant(index >= 0 && index < size, `cannot look up entry ${index} of axis ${axis} of ${formatShape(x)}`);
      const from = (o * size + index) * inner;
      data.set(x.data.subarray(from, from + inner), to);
      to += inner;
    }
  }
  return { dtype: x.dtype, shape, data };
}

/** Entries of the first axis, the ones that `indices` [M] names, by those of `updates` [M, ..]. */
export function putRows(x: Tensor, indices: Tensor, updates: Tensor): Tensor {
  const inner = countOf(x.shape.slice(1));
  const data = x.data.slice();
  indices.data.forEach((index, i) => {
    invariant(index >= 0 && index < x.shape[0]!, `cannot put an entry in place ${index} of ${formatShape(x)}`);
    data.set(updates.data.subarray(i * inner, (i + 1) * inner), index * inner);
  });
  return { dtype: x.dtype, shape: x.shape, data };
}

/** Copies what lies `steps` apart, from `offset` on, into C order. Every movement is this with other steps. */
function copyStrided(data: Float64Array, shape: readonly number[], steps: readonly number[], offset: number) {
  const result = new Float64Array(countOf(shape));
  if (result.length === 0) return result;
  const inner = shape.at(-1) ?? 1;
  const step = steps.at(-1) ?? 0;
  const index = new Array<number>(Math.max(shape.length - 1, 0)).fill(0);
  let from = offset;
  for (let to = 0; to < result.length; to += inner) {
    for (let i = 0; i < inner; i++) result[to + i] = data[from + i * step]!;
    for (let axis = index.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= steps[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

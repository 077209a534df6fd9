import { addDims, type Dim, subtractDims } from '../dims.ts';
import type { DType } from '../dtype.ts';
import { broadcastDims, elementCount, formatType, sameDims, tensor } from '../tensor-type.ts';
import type { OpSpec } from './spec.ts';

/** Numbers, sizes, and what moves elements about. */
export const shapeOps = {
  // Numbers and sizes
  /** A small tensor whose elements are in the graph itself, in C order. */
  constant: {
    operands: [],
    attrs: { dtype: 'dtype', dims: 'ints', values: 'numbers' },
    infer: (_, { dtype, dims, values }) => {
      const count = (dims as readonly number[]).reduce((n, d) => n * d, 1);
      const found = (values as readonly number[]).length;
      return count === found
        ? [tensor(dtype as DType, dims as Dim[])]
        : `has ${found} values where its dims hold ${count}`;
    },
  },
  /** i64 []: what a dim turns out to be when the graph runs. */
  size: { operands: [], attrs: { of: 'dim' }, infer: () => [tensor('i64', [])] },
  /** i64 [N]: 0, 1 … N−1. */
  iota: { operands: [], attrs: { size: 'dim' }, infer: (_, { size }) => [tensor('i64', [size as Dim])] },

  // Shape
  reshape: {
    operands: ['x'],
    attrs: { dims: 'dims' },
    infer: ([x], { dims }) => {
      const [before, after] = [elementCount(x!.dims), elementCount(dims as Dim[])];
      return before === after ? [tensor(x!.dtype, dims as Dim[])] : `makes ${after} elements of ${before}`;
    },
  },
  /** Broadcasts to `dims`. */
  expand: {
    operands: ['x'],
    attrs: { dims: 'dims' },
    infer: ([x], { dims }) => {
      const result = broadcastDims(x!.dims, dims as Dim[]);
      return result && sameDims(result, dims as Dim[])
        ? [tensor(x!.dtype, result)]
        : `cannot expand ${formatType(x!)} to [${dims}]`;
    },
  },
  transpose: {
    operands: ['x'],
    attrs: { perm: 'ints' },
    infer: ([x], { perm }) => {
      const order = perm as readonly number[];
      const sorted = [...order].sort((a, b) => a - b);
      if (order.length !== x!.dims.length || sorted.some((axis, i) => axis !== i))
        return `[${order}] is no order of ${x!.dims.length} axes`;
      return [
        tensor(
          x!.dtype,
          order.map((axis) => x!.dims[axis]!),
        ),
      ];
    },
  },
  concat: {
    operands: ['inputs...'],
    attrs: { axis: 'int' },
    infer: (inputs, { axis }) => {
      const first = inputs[0];
      if (!first) return 'joins nothing';
      const along = axis as number;
      if (along < 0 || along >= first.dims.length) return `joins ${formatType(first)} along axis ${along}`;
      for (const input of inputs) {
        const fits = input.dims.every((dim, i) => i === along || dim === first.dims[i]);
        if (input.dtype !== first.dtype || input.dims.length !== first.dims.length || !fits) {
          return `joins ${formatType(first)} and ${formatType(input)} along axis ${along}`;
        }
      }
      const sum = addDims(...inputs.map((input) => input.dims[along]!));
      return [
        tensor(
          first.dtype,
          first.dims.map((dim, i) => (i === along ? sum : dim)),
        ),
      ];
    },
  },
  /** Joins tensors of one type along a new leading axis. */
  stack: {
    operands: ['inputs...'],
    attrs: {},
    infer: (inputs) => {
      const first = inputs[0];
      if (!first) return 'stacks nothing';
      const odd = inputs.find((input) => input.dtype !== first.dtype || !sameDims(input.dims, first.dims));
      return odd
        ? `stacks ${formatType(first)} and ${formatType(odd)}`
        : [tensor(first.dtype, [inputs.length, ...first.dims])];
    },
  },
  /** Elements `start` to before `end` of one axis. */
  slice: {
    operands: ['x'],
    attrs: { axis: 'int', start: 'dim', end: 'dim' },
    infer: ([x], { axis, start, end }) => {
      const size = subtractDims(end as Dim, start as Dim);
      if ((axis as number) < 0 || (axis as number) >= x!.dims.length) return `slices axis ${axis} of ${formatType(x!)}`;
      if (typeof size === 'number' && size < 0) return `slices from ${start} to ${end}`;
      return [
        tensor(
          x!.dtype,
          x!.dims.map((dim, i) => (i === axis ? size : dim)),
        ),
      ];
    },
  },
  /** An axis cut into pieces of `sizes`, which add up to it. */
  split: {
    operands: ['x'],
    attrs: { axis: 'int', sizes: 'dims' },
    infer: ([x], { axis, sizes }) => {
      const pieces = sizes as readonly Dim[];
      const negative = pieces.some((size) => typeof size === 'number' && size < 0);
      if (x!.dims[axis as number] !== addDims(...pieces) || negative)
        return `splits axis ${axis} of ${formatType(x!)} into [${pieces}]`;
      return pieces.map((size) =>
        tensor(
          x!.dtype,
          x!.dims.map((dim, i) => (i === axis ? size : dim)),
        ),
      );
    },
  },
  /** One element of an axis; the axis goes. */
  select: {
    operands: ['x'],
    attrs: { axis: 'int', index: 'int' },
    infer: ([x], { axis, index }) => {
      const size = x!.dims[axis as number];
      if (size === undefined) return `selects from axis ${axis} of ${formatType(x!)}`;
      if (typeof size === 'number' && (index as number) >= size) return `selects element ${index} of ${size}`;
      return [
        tensor(
          x!.dtype,
          x!.dims.filter((_, i) => i !== axis),
        ),
      ];
    },
  },
  /** Entries of one axis by number: x [.., N, ..], indices i64 of any shape, whose axes take the place of N. */
  gather: {
    operands: ['x', 'indices'],
    attrs: { axis: 'int' },
    infer: ([x, indices], { axis }) => {
      if (indices!.dtype !== 'i64') return `looks up by ${formatType(indices!)}, which is not i64`;
      if ((axis as number) < 0 || (axis as number) >= x!.dims.length)
        return `looks up along axis ${axis} of ${formatType(x!)}`;
      const dims = [...x!.dims.slice(0, axis as number), ...indices!.dims, ...x!.dims.slice((axis as number) + 1)];
      return [tensor(x!.dtype, dims)];
    },
  },
  /** Entries of the first axis by others: x [N, ..], indices i64 [M], all different, updates [M, ..]. */
  put_rows: {
    operands: ['x', 'indices', 'updates'],
    attrs: {},
    infer: ([x, indices, updates]) => {
      if (indices!.dtype !== 'i64' || indices!.dims.length !== 1)
        return `puts entries in the places ${formatType(indices!)}, which is not i64 with one axis`;
      const fits = x!.dims.length > 0 && sameDims(updates!.dims, [indices!.dims[0]!, ...x!.dims.slice(1)]);
      return fits && updates!.dtype === x!.dtype
        ? [x!]
        : `puts ${formatType(updates!)} in the places ${formatType(indices!)} of ${formatType(x!)}`;
    },
  },
} as const satisfies Record<string, OpSpec>;

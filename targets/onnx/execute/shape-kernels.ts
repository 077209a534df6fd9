import { concat, expand, gather, putRows, reshape, slice, transpose } from '../../../ir/interpret/movement.ts';
import { countOf, makeTensor, scalar, type Tensor } from '../../../ir/interpret/tensor.ts';
import { broadcastDims } from '../../../ir/tensor-type.ts';
import { fromFront, type NodeCall, type NodeKernel, refuse } from './node-call.ts';

/** Operators of ai.onnx that move elements, and those that deal in sizes. */
export const shapeKernels: Readonly<Record<string, NodeKernel>> = {
  Reshape: ({ input, int }) => {
    const x = input(0);
    return [reshape(x, reshapedSizes(x, numbers(input(1)), int('allowzero', 0) !== 0))];
  },
  Expand: ({ input }) => {
    const x = input(0);
    const shape = broadcastDims(x.shape, numbers(input(1))) as readonly number[] | undefined;
    return [expand(x, shape ?? refuse(`cannot expand [${x.shape}] to [${numbers(input(1))}]`))];
  },
  Transpose: ({ input, ints }) => {
    const x = input(0);
    const perm = ints('perm') ?? x.shape.map((_, axis) => x.shape.length - 1 - axis);
    const valid = perm.length === x.shape.length && new Set(perm).size === perm.length;
    return [
      transpose(x, valid ? perm.map((axis) => fromFront(axis, x.shape.length)) : refuse(`orders axes [${perm}]`)),
    ];
  },
  Concat: ({ inputs, input, axis }) => {
    const along = axis(input(0).shape.length);
    for (const x of inputs) {
      const fits = x?.shape.every((size, i) => i === along || size === input(0).shape[i]);
      if (!fits || x?.dtype !== input(0).dtype) refuse(`joins [${input(0).shape}] and [${x?.shape}]`);
    }
    return [concat(inputs as readonly Tensor[], along)];
  },
  Slice: ({ input, inputs }) => {
    const [starts, ends] = [numbers(input(1)), numbers(input(2))];
    const axes = inputs[3] ? numbers(inputs[3]) : starts.map((_, i) => i);
    const steps = inputs[4] ? numbers(inputs[4]) : starts.map(() => 1);
    return [axes.reduce((x, axis, i) => sliceAxis(x, axis, starts[i]!, ends[i]!, steps[i]!), input(0))];
  },
  Gather: ({ input, axis }) => {
    const [x, indices] = [input(0), input(1)];
    const along = axis(x.shape.length, 0);
    const size = x.shape[along]!;
    const counted = indices.data.map((i) => (i < 0 ? i + size : i));
    return [gather(x, { ...indices, data: counted }, along)];
  },
  ScatterND: ({ input, string }) => {
    const [x, indices, updates] = [input(0), input(1), input(2)];
    if (string('reduction', 'none') !== 'none') refuse(`puts entries by "${string('reduction')}"`);
    const depth = indices.shape.at(-1) ?? refuse('puts entries in no place');
    const fits = `${updates.shape}` === `${[...indices.shape.slice(0, -1), ...x.shape.slice(depth)]}`;
    if (!fits || updates.dtype !== x.dtype) refuse(`puts [${updates.shape}] into [${x.shape}] by [${indices.shape}]`);
    // Entries by several axes are entries by one that stands for them all.
    const outer = x.shape.slice(0, depth);
    const places = Float64Array.from({ length: countOf(indices.shape.slice(0, -1)) }, (_, n) =>
      outer.reduce((place, size, axis) => {
        const index = indices.data[n * depth + axis]!;
        const counted = index < 0 ? index + size : index;
        return counted >= 0 && counted < size
          ? place * size + counted
          : refuse(`puts an entry in place ${index} of axis ${axis} of [${x.shape}]`);
      }, 0),
    );
    const rows = makeTensor('i64', [places.length], places);
    const put = putRows(reshape(x, [countOf(outer), ...x.shape.slice(depth)]), rows, updates);
    return [reshape(put, x.shape)];
  },
  Squeeze: ({ input, inputs }) => {
    const x = input(0);
    const rank = x.shape.length;
    const axes = inputs[1] && numbers(inputs[1]).map((axis) => fromFront(axis, rank));
    if (axes?.some((axis) => x.shape[axis] !== 1)) refuse(`squeezes axes [${axes}] of [${x.shape}]`);
    const goes = (size: number, axis: number): boolean => (axes ? axes.includes(axis) : size === 1);
    return [
      reshape(
        x,
        x.shape.filter((size, axis) => !goes(size, axis)),
      ),
    ];
  },
  Unsqueeze: ({ input }) => {
    const x = input(0);
    const rank = x.shape.length + input(1).data.length;
    const added = new Set(numbers(input(1)).map((axis) => fromFront(axis, rank)));
    const rest = [...x.shape];
    return [
      reshape(
        x,
        Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : rest.shift()!)),
      ),
    ];
  },
  Split: (call) => {
    const x = call.input(0);
    const along = call.axis(x.shape.length, 0);
    let start = 0;
    return splitSizes(call, x.shape[along]!).map((size) => {
      const part = slice(x, along, start, size);
      start += size;
      return part;
    });
  },
  Pad: ({ input, inputs, string }) => {
    const [x, pads] = [input(0), numbers(input(1))];
    if (string('mode', 'constant') !== 'constant') refuse(`pads in mode "${string('mode')}"`);
    const axes = inputs[3]
      ? numbers(inputs[3]).map((axis) => fromFront(axis, x.shape.length))
      : x.shape.map((_, i) => i);
    const value = inputs[2]?.data[0] ?? 0;
    return [axes.reduce((padded, axis, i) => padAxis(padded, axis, pads[i]!, pads[axes.length + i]!, value), x)];
  },

  Shape: ({ input, int }) => {
    const { shape } = input(0);
    const bound = (at: number): number => Math.min(Math.max(at < 0 ? at + shape.length : at, 0), shape.length);
    const sizes = shape.slice(bound(int('start', 0)), bound(int('end', shape.length)));
    return [makeTensor('i64', [sizes.length], sizes)];
  },
  Size: ({ input }) => [scalar('i64', input(0).data.length)],
  Range: ({ input }) => {
    const [start, limit, delta] = [input(0).data[0]!, input(1).data[0]!, input(2).data[0]!];
    const count = Math.max(Math.ceil((limit - start) / delta), 0);
    const values = Float64Array.from({ length: count }, (_, i) => start + i * delta);
    return [makeTensor(input(0).dtype, [count], values)];
  },
};

/** The numbers in a tensor of sizes, axes or bounds. */
export function numbers(x: Tensor): readonly number[] {
  return [...x.data];
}

function reshapedSizes(x: Tensor, wanted: readonly number[], allowZero: boolean): readonly number[] {
  const sizes = wanted.map((size, axis) => (size === 0 && !allowZero ? (x.shape[axis] ?? 0) : size));
  const rest = sizes.indexOf(-1);
  if (rest < 0) return sizes;
  const known = countOf(sizes.filter((_, axis) => axis !== rest));
  // 0 elements leave open how many times they are there.
  if (known === 0 || x.data.length % known !== 0) return refuse(`cannot reshape [${x.shape}] to [${wanted}]`);
  return sizes.map((size, axis) => (axis === rest ? x.data.length / known : size));
}

function sliceAxis(x: Tensor, axis: number, start: number, end: number, step: number): Tensor {
  const along = fromFront(axis, x.shape.length);
  const size = x.shape[along]!;
  if (step === 0) return refuse('slices in steps of 0');
  const clamp = (at: number, low: number, high: number): number =>
    Math.min(Math.max(at < 0 ? at + size : at, low), high);
  const [from, to] =
    step > 0 ? [clamp(start, 0, size), clamp(end, 0, size)] : [clamp(start, 0, size - 1), clamp(end, -1, size - 1)];
  return slice(x, along, from, Math.max(Math.ceil((to - from) / step), 0), step);
}

function splitSizes({ inputs, ints, int, node }: NodeCall, size: number): readonly number[] {
  const given = inputs[1] ? numbers(inputs[1]) : ints('split');
  if (given) {
    return given.reduce((a, b) => a + b, 0) === size ? given : refuse(`splits ${size} into ${given.join(' + ')}`);
  }
  const parts = int('num_outputs', node.outputs.length);
  const each = Math.ceil(size / parts);
  return Array.from({ length: parts }, (_, i) => Math.max(Math.min(each, size - i * each), 0));
}

/** Adds `before` and `after` elements to an axis; negative ones take elements away. */
function padAxis(x: Tensor, axis: number, before: number, after: number, value: number): Tensor {
  const size = x.shape[axis]!;
  const filler = (count: number): Tensor => {
    const shape = x.shape.map((s, i) => (i === axis ? Math.max(count, 0) : s));
    return makeTensor(x.dtype, shape, new Float64Array(countOf(shape)).fill(value));
  };
  const start = Math.max(-before, 0);
  const kept = slice(x, axis, start, size - start - Math.max(-after, 0));
  return concat([filler(before), kept, filler(after)], axis);
}

import { arithmetic, mapTensor } from '../../../ir/interpret/elementwise.ts';
import { reshape, slice, transpose } from '../../../ir/interpret/movement.ts';
import { linear, matmul } from '../../../ir/interpret/products.ts';
import { cumsum, reduceMax, reduceMean, reduceSum, softmax, topK } from '../../../ir/interpret/reductions.ts';
import type { Tensor } from '../../../ir/interpret/tensor.ts';
import { fromFront, type NodeCall, type NodeKernel, refuse } from './node-call.ts';
import { numbers } from './shape-kernels.ts';

/** Operators of ai.onnx that sum or compare along axes, products among them. */
export const axisKernels: Readonly<Record<string, NodeKernel>> = {
  MatMul: ({ input }) => [product(input(0), input(1))],
  Gemm: ({ input, inputs, int, float }) => {
    const [a, b] = [input(0), input(1)];
    if (a.shape.length !== 2 || b.shape.length !== 2 || a.dtype !== b.dtype)
      refuse('multiplies no matrices of one type');
    const left = int('transA', 0) === 0 ? a : transpose(a, [1, 0]);
    const right = int('transB', 0) === 0 ? transpose(b, [1, 0]) : b;
    const scaled = scaleBy(linear(left, right), float('alpha', 1));
    return [inputs[2] ? arithmetic('add', scaled, scaleBy(inputs[2], float('beta', 1))) : scaled];
  },
  ReduceSum: reduction(reduceSum),
  ReduceMean: reduction(reduceMean),
  ReduceMax: reduction(reduceMax),
  CumSum: ({ input, int }) => {
    const x = input(0);
    const axis = fromFront(input(1).data[0]!, x.shape.length);
    const turn = (t: Tensor): Tensor =>
      int('reverse', 0) === 0 ? t : slice(t, axis, t.shape[axis]! - 1, t.shape[axis]!, -1);
    const sums = turn(cumsum(turn(x), axis));
    return [int('exclusive', 0) === 0 ? sums : arithmetic('sub', sums, x)];
  },
  Softmax: ({ input, axis }) => [softmax(input(0), axis(input(0).shape.length, -1))],
  TopK: ({ input, axis, int }) => {
    const x = input(0);
    const along = axis(x.shape.length, -1);
    const k = input(1).data[0]!;
    if (k < 0 || k > x.shape[along]!) refuse(`takes ${k} of [${x.shape}] along axis ${along}`);
    const swap = x.shape.map((_, i) => (i === along ? x.shape.length - 1 : i === x.shape.length - 1 ? along : i));
    const sign = int('largest', 1) === 0 ? -1 : 1;
    const [values, indices] = topK(scaleBy(transpose(x, swap), sign), k);
    return [transpose(scaleBy(values, sign), swap), transpose(indices, swap)];
  },
  ArgMax: ({ input, axis, int }) => {
    const x = input(0);
    const along = axis(x.shape.length, 0);
    const size = x.shape[along]!;
    if (size === 0) refuse(`finds the largest of nothing along axis ${along} of [${x.shape}]`);
    const backwards = int('select_last_index', 0) !== 0;
    const inOrder = backwards ? slice(x, along, size - 1, size, -1) : x;
    const last = x.shape.length - 1;
    const swap = x.shape.map((_, i) => (i === along ? last : i === last ? along : i));
    const places = transpose(topK(transpose(inOrder, swap), 1)[1], swap);
    const found = backwards ? mapTensor(places, (place) => size - 1 - place) : places;
    const keep = int('keepdims', 1) !== 0;
    return [
      keep
        ? found
        : reshape(
            found,
            x.shape.filter((_, i) => i !== along),
          ),
    ];
  },
};

/** NumPy's matmul, where a single axis is a row on the left and a column on the right. */
function product(a: Tensor, b: Tensor): Tensor {
  if (a.dtype !== b.dtype) return refuse(`multiplies ${a.dtype} by ${b.dtype}`);
  if (a.shape.length === 0 || b.shape.length === 0) return refuse('multiplies a number');
  const left = a.shape.length === 1 ? reshape(a, [1, a.shape[0]!]) : a;
  const right = b.shape.length === 1 ? reshape(b, [b.shape[0]!, 1]) : b;
  const result = matmul(left, right);
  const [m, n] = result.shape.slice(-2) as [number, number];
  const last = [...(a.shape.length === 1 ? [] : [m]), ...(b.shape.length === 1 ? [] : [n])];
  return reshape(result, [...result.shape.slice(0, -2), ...last]);
}

function scaleBy(x: Tensor, factor: number): Tensor {
  return factor === 1 ? x : mapTensor(x, (v) => v * factor);
}

/** Axes come as an input since opset 18 (ReduceSum since 13), as an attribute before. None: all of them. */
function reduction(reduce: (x: Tensor, axis: number, keep: boolean) => Tensor): NodeKernel {
  return ({ input, inputs, ints, int }: NodeCall) => {
    const x = input(0);
    const given = inputs[1] ? numbers(inputs[1]) : (ints('axes') ?? []);
    if (given.length === 0 && int('noop_with_empty_axes', 0) !== 0) return [x];
    const axes = given.length === 0 ? x.shape.map((_, i) => i) : given.map((axis) => fromFront(axis, x.shape.length));
    const reduced = axes.reduce((y, axis) => reduce(y, axis, true), x);
    if (int('keepdims', 1) !== 0) return [reduced];
    return [
      reshape(
        reduced,
        x.shape.filter((_, i) => !axes.includes(i)),
      ),
    ];
  };
}

import type { OnnxNode } from '../../onnx/onnx-model.ts';
import { attributeOf } from './node-facts.ts';
import type { Size, ValueFacts } from './value-facts.ts';

type Inputs = readonly (ValueFacts | undefined)[];
type Dims = readonly Size[] | undefined;

/**
 * Sizes of what a node makes, as far as its operator and what is known of its inputs tell: enough to know how many axes
 * most values have.
 */
export function inferDims(node: OnnxNode, inputs: Inputs): readonly Dims[] {
  const rule = rules[node.opType];
  const found = rule ? rule(node, inputs) : undefined;
  return node.outputs.map(() => found);
}

type Rule = (node: OnnxNode, inputs: Inputs) => Dims;

const same: Rule = (_, [x]) => x?.dims;

const broadcast: Rule = (_, inputs) => {
  const all = inputs.map((input) => input?.dims);
  if (!all.every((dims): dims is readonly Size[] => dims !== undefined)) return undefined;
  const rank = Math.max(0, ...all.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = all.flatMap((dims) => {
      const at = axis - (rank - dims.length);
      return at < 0 ? [] : [dims[at]];
    });
    const others = [...new Set(sizes.filter((size) => size !== 1))];
    if (others.length === 0) return 1;
    // A number wins over a name, which can only be the same or 1.
    return others.find((size) => typeof size === 'number') ?? (others.length === 1 ? others[0] : undefined);
  });
};

const reduce: Rule = (node, [x, axesInput]) => {
  if (!x?.dims) return undefined;
  const given = attributeOf(node, 'axes', 'ints') ?? axesInput?.numbers;
  if (given === undefined && axesInput) return undefined;
  const axes = given?.length ? given.map((axis) => fromFront(axis, x.dims!.length)) : x.dims.map((_, axis) => axis);
  const keep = attributeOf(node, 'keepdims', 'int') !== 0;
  return x.dims.flatMap((size, axis) => (axes.includes(axis) ? (keep ? [1] : []) : [size]));
};

const rules: Readonly<Record<string, Rule>> = {
  ...Object.fromEntries(
    (
      'Abs Acos Acosh Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh CumSum Dropout Elu Erf Exp Floor Gelu ' +
      'HardSigmoid HardSwish Hardmax Identity IsInf IsNaN LayerNormalization LeakyRelu Log LogSoftmax Mish Neg Not ' +
      'QuantizeLinear DequantizeLinear Reciprocal Relu ReverseSequence RMSNormalization RotaryEmbedding Round ScatterND ' +
      'ScatterElements Scatter Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ' +
      'TensorScatter ThresholdedRelu Trilu BatchNormalization GroupNormalization InstanceNormalization TRT_KVCacheUpdate'
    )
      .split(' ')
      .map((name) => [name, same]),
  ),
  ...Object.fromEntries(
    'Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow PRelu Sub Sum Where Xor'
      .split(' ')
      .map((name) => [name, broadcast]),
  ),
  ...Object.fromEntries(
    'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare'.split(' ').map((name) => [`Reduce${name}`, reduce]),
  ),
  ArgMax: alongOne,
  ArgMin: alongOne,
  Attention: (_, [q, , v]) => (q?.dims?.length === 4 ? [...q.dims.slice(0, 3), v?.dims?.[3]] : q?.dims),
  TRT_Attention: same,
  Concat: (node, inputs) => {
    const first = inputs.find((input) => input?.dims)?.dims;
    if (!first) return undefined;
    const along = fromFront(attributeOf(node, 'axis', 'int') ?? 0, first.length);
    const sizes = inputs.map((input) => input?.dims?.[along]);
    const sum = sizes.every((size): size is number => typeof size === 'number')
      ? sizes.reduce((a, b) => a + b, 0)
      : undefined;
    return first.map((size, axis) => (axis === along ? sum : size));
  },
  Constant: undefinedRule,
  ConstantOfShape: (_, [shape]) => asShape(shape),
  Expand: (_, [x, shape]) => {
    const to = asShape(shape);
    return x?.dims && to ? broadcast(_, [x, { ...x, dims: to }]) : undefined;
  },
  Flatten: () => [undefined, undefined],
  Gather: (node, [x, indices]) => {
    if (!x?.dims || !indices?.dims) return undefined;
    const axis = fromFront(attributeOf(node, 'axis', 'int') ?? 0, x.dims.length);
    return [...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)];
  },
  GatherElements: (_, [, indices]) => indices?.dims,
  Gemm: (node, [a, b]) => {
    if (!a?.dims || !b?.dims) return [undefined, undefined];
    const left = attributeOf(node, 'transA', 'int') ? a.dims[1] : a.dims[0];
    return [left, attributeOf(node, 'transB', 'int') ? b.dims[0] : b.dims[1]];
  },
  MatMul: (node, [a, b]) => {
    if (!a?.dims || !b?.dims || a.dims.length < 2 || b.dims.length < 2) return undefined;
    const batch = broadcast(
      node,
      [a, b].map((side) => ({ ...side, dims: side.dims!.slice(0, -2) })),
    );
    return batch && [...batch, a.dims.at(-2), b.dims.at(-1)];
  },
  NonZero: (_, [x]) => (x?.dims ? [x.dims.length, undefined] : undefined),
  OneHot: (_, [indices]) => indices?.dims && [...indices.dims.map(() => undefined), undefined],
  Pad: sameRank,
  Range: () => [undefined],
  Reshape: (node, [x, shape]) => {
    const to = asShape(shape);
    if (attributeOf(node, 'allowzero', 'int')) return to?.map((size) => (size === -1 ? undefined : size));
    return to?.map((size, axis) => (size === 0 ? x?.dims?.[axis] : size === -1 ? undefined : size));
  },
  Resize: sameRank,
  Shape: (node, [x]) => {
    if (!x?.dims) return [undefined];
    const [from, to] = shapeRange(node, x.dims.length);
    return [Math.max(to - from, 0)];
  },
  Size: () => [],
  Slice: sameRank,
  Split: sameRank,
  Squeeze: (node, [x, axesInput]) => {
    const axes = attributeOf(node, 'axes', 'ints') ?? axesInput?.numbers;
    if (!x?.dims || !axes) return undefined;
    const gone = axes.map((axis) => fromFront(axis, x.dims!.length));
    return x.dims.filter((_, axis) => !gone.includes(axis));
  },
  Tile: sameRank,
  TopK: sameRank,
  Transpose: (node, [x]) => {
    const perm = attributeOf(node, 'perm', 'ints');
    return perm ? perm.map((axis) => x?.dims?.[axis]) : x?.dims && [...x.dims].reverse();
  },
  Unsqueeze: (node, [x, axesInput]) => {
    const axes = attributeOf(node, 'axes', 'ints') ?? axesInput?.numbers;
    if (!x?.dims || !axes) return undefined;
    const rank = x.dims.length + axes.length;
    const added = axes.map((axis) => fromFront(axis, rank));
    const rest = [...x.dims];
    return Array.from({ length: rank }, (_, axis) => (added.includes(axis) ? 1 : rest.shift()));
  },
  AveragePool: sameRank,
  Conv: sameRank,
  ConvTranspose: sameRank,
  DeformConv: sameRank,
  GlobalAveragePool: sameRank,
  GlobalMaxPool: sameRank,
  GridSample: sameRank,
  LpPool: sameRank,
  MaxPool: sameRank,
};

/** First and last axis of a Shape, as its attributes `start` and `end` say. */
export function shapeRange(node: OnnxNode, rank: number): readonly [from: number, to: number] {
  const bound = (name: string, otherwise: number): number => {
    const axis = attributeOf(node, name, 'int') ?? otherwise;
    return Math.min(Math.max(axis < 0 ? axis + rank : axis, 0), rank);
  };
  return [bound('start', 0), bound('end', rank)];
}

/** An axis counted from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** The sizes that a value holds: its numbers, or at least how many there are. */
function asShape(shape: ValueFacts | undefined): Dims {
  if (shape?.numbers) return shape.numbers;
  const count = shape?.dims?.[0];
  return typeof count === 'number' ? new Array<Size>(count).fill(undefined) : undefined;
}

function sameRank(_: OnnxNode, [x]: Inputs): Dims {
  return x?.dims?.map(() => undefined);
}

function alongOne(node: OnnxNode, [x]: Inputs): Dims {
  if (!x?.dims) return undefined;
  const along = fromFront(attributeOf(node, 'axis', 'int') ?? 0, x.dims.length);
  const keep = attributeOf(node, 'keepdims', 'int') !== 0;
  return x.dims.flatMap((size, axis) => (axis === along ? (keep ? [1] : []) : [size]));
}

function undefinedRule(): Dims {
  return undefined;
}

import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { elementTypes } from '../../targets/onnx/onnx-model.ts';
import { randomTensor } from '../support/random-tensors.ts';
import { float, int, ints, type NodeCase, string } from './one-node.ts';

const x = randomTensor('f32', [2, 3, 4], 'x');
const y = randomTensor('f32', [2, 1, 4], 'y');
const positive = makeTensor('f32', [4], [0.25, 1, 3, 100]);
const numbers = makeTensor('i64', [2, 3], [5, -7, 2, 0, 9, -4]);
const truths = makeTensor('bool', [2, 3], [1, 0, 0, 1, 1, 0]);
const i64 = (...values: number[]): Tensor => makeTensor('i64', [values.length], values);
const one = (value: number): Tensor => makeTensor('i64', [], [value]);
const f = (shape: readonly number[], seed: string): Tensor => randomTensor('f32', shape, seed);
const cast = (to: keyof typeof elementTypes) => ({ to: int(elementTypes[to]) });
const edges = makeTensor('f32', [7], [0, -0, 1.5, -1.5, 1e30, Number.NEGATIVE_INFINITY, 2 ** -149]);

const unary = ['Neg', 'Exp', 'Cos', 'Sin', 'Tanh', 'Sigmoid', 'Erf', 'Relu', 'Identity', 'Gelu'];
const binary = ['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min', 'Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'];

const elementwise: readonly NodeCase[] = [
  ...unary.map((opType) => ({ opType, inputs: [x] })),
  ...unary.slice(0, 8).map((opType) => ({ title: 'edges', opType, inputs: [edges] })),
  ...['Log', 'Sqrt', 'Reciprocal'].map((opType) => ({ opType, inputs: [positive] })),
  ...binary.map((opType) => ({ opType, inputs: [x, y] })),
  ...['Add', 'Div', 'Max', 'Less'].map((opType) => ({ title: 'integers', opType, inputs: [numbers, i64(2, -3, 4)] })),
  { title: 'of three', opType: 'Max', inputs: [x, y, makeTensor('f32', [], [0.1])] },
  { title: 'of one', opType: 'Min', inputs: [x] },
  { opType: 'Pow', inputs: [positive, makeTensor('f32', [], [2])] },
  { title: 'a root', opType: 'Pow', inputs: [positive, makeTensor('f32', [], [0.5])] },
  { title: 'tanh', opType: 'Gelu', inputs: [x], attributes: { approximate: string('tanh') } },
  { opType: 'Not', inputs: [truths] },
  ...['And', 'Or', 'Equal'].map((opType) => ({ opType, inputs: [truths, makeTensor('bool', [3], [1, 1, 0])] })),
  { opType: 'Where', inputs: [makeTensor('bool', [2, 1, 1], [1, 0]), x, y] },
  {
    title: 'to integers',
    opType: 'Cast',
    inputs: [makeTensor('f32', [4], [1.9, -1.9, 0.4, 7])],
    attributes: cast('INT64'),
  },
  { title: 'to truths', opType: 'Cast', inputs: [edges], attributes: cast('BOOL') },
  { title: 'to half and back', opType: 'Cast', inputs: [x], attributes: cast('FLOAT16') },
  { title: 'of truths', opType: 'Cast', inputs: [truths], attributes: cast('FLOAT') },
  { title: 'to double', opType: 'Cast', inputs: [x], attributes: cast('DOUBLE') },
];

const shape: readonly NodeCase[] = [
  { opType: 'Reshape', inputs: [x, i64(0, -1)] },
  {
    title: 'zeros that are sizes',
    opType: 'Reshape',
    inputs: [f([0, 3], 'e'), i64(3, 0)],
    attributes: { allowzero: int(1) },
  },
  { opType: 'Expand', inputs: [y, i64(3, 1, 3, 1)] },
  { opType: 'Transpose', inputs: [x] },
  { title: 'in an order', opType: 'Transpose', inputs: [x], attributes: { perm: ints([1, 2, 0]) } },
  { opType: 'Concat', inputs: [x, y, x], attributes: { axis: int(-2) } },
  { title: 'with nothing', opType: 'Concat', inputs: [f([2, 0, 4], 'e'), y], attributes: { axis: int(1) } },
  { opType: 'Slice', inputs: [x, i64(1, 0), i64(2 ** 53, -1), i64(1, -1)] },
  { title: 'all axes', opType: 'Slice', inputs: [x, i64(0, 1, 1), i64(1, 3, 3)] },
  { title: 'backwards', opType: 'Slice', inputs: [x, i64(-1, 2), i64(-(2 ** 53), 0), i64(2, 1), i64(-1, -2)] },
  { title: 'nothing', opType: 'Slice', inputs: [x, i64(3), i64(1), i64(1)] },
  { opType: 'Gather', inputs: [x, makeTensor('i64', [2, 2], [0, -1, 2, 1])], attributes: { axis: int(1) } },
  { title: 'one', opType: 'Gather', inputs: [x, one(-1)] },
  { opType: 'ScatterND', inputs: [x, makeTensor('i64', [2, 1], [-1, 0]), f([2, 3, 4], 'u')] },
  {
    title: 'by two axes',
    opType: 'ScatterND',
    inputs: [x, makeTensor('i64', [1, 2, 2], [1, 2, 0, -2]), f([1, 2, 4], 'u')],
  },
  { title: 'nothing', opType: 'ScatterND', inputs: [x, makeTensor('i64', [0, 1], []), f([0, 3, 4], 'u')] },
  { opType: 'Squeeze', inputs: [f([1, 3, 1], 's'), i64(-1)] },
  { title: 'all', opType: 'Squeeze', inputs: [f([1, 3, 1], 's')] },
  { opType: 'Unsqueeze', inputs: [x, i64(0, -1)] },
  { opType: 'Split', inputs: [x, i64(1, 2)], attributes: { axis: int(1) }, outputs: [true, true] },
  {
    title: 'evenly',
    opType: 'Split',
    inputs: [x],
    attributes: { axis: int(1), num_outputs: int(2) },
    outputs: [true, true],
  },
  { opType: 'Pad', inputs: [x, i64(0, 1, 0, 0, 0, 2)] },
  { title: 'one axis by a number', opType: 'Pad', inputs: [x, i64(1, 1), makeTensor('f32', [], [7]), i64(-1)] },
  { title: 'by taking away', opType: 'Pad', inputs: [x, i64(0, -1, 0, 0, 1, -2)] },
  { opType: 'Shape', inputs: [x] },
  { title: 'of the end', opType: 'Shape', inputs: [x], attributes: { start: int(-2), end: int(9) } },
  { opType: 'Size', inputs: [x] },
  { opType: 'Range', inputs: [one(3), one(-4), one(-2)] },
  { title: 'of fractions', opType: 'Range', inputs: [0, 1, 0.25].map((v) => makeTensor('f32', [], [v])) },
  { opType: 'ConstantOfShape', inputs: [i64(2, 3)] },
  {
    title: 'of a value',
    opType: 'ConstantOfShape',
    inputs: [i64(2)],
    attributes: {
      value: {
        kind: 'tensor',
        value: {
          name: '',
          elementType: 'INT64',
          dims: [1],
          data: { kind: 'inline', bytes: new Uint8Array([7, 0, 0, 0, 0, 0, 0, 0]) },
        },
      },
    },
  },
  { opType: 'Constant', inputs: [], attributes: { value_float: float(0.5) } },
  { title: 'an integer', opType: 'Constant', inputs: [], attributes: { value_int: int(5) } },
  {
    title: 'floats',
    opType: 'Constant',
    inputs: [],
    attributes: { value_floats: { kind: 'floats', value: [0.5, 2] } },
  },
  { title: 'integers', opType: 'Constant', inputs: [], attributes: { value_ints: ints([3, 4]) } },
];

const axis: readonly NodeCase[] = [
  { opType: 'MatMul', inputs: [f([2, 1, 3, 4], 'a'), f([5, 4, 6], 'b')] },
  { title: 'row by matrix', opType: 'MatMul', inputs: [f([4], 'a'), f([5, 4, 6], 'b')] },
  { title: 'matrix by column', opType: 'MatMul', inputs: [f([5, 3, 4], 'a'), f([4], 'b')] },
  { title: 'row by column', opType: 'MatMul', inputs: [f([4], 'a'), f([4], 'b')] },
  { opType: 'Gemm', inputs: [f([3, 4], 'a'), f([4, 5], 'b')] },
  {
    title: 'with everything',
    opType: 'Gemm',
    inputs: [f([4, 3], 'a'), f([5, 4], 'b'), f([5], 'c')],
    attributes: { transA: int(1), transB: int(1), alpha: float(0.5), beta: float(-2) },
  },
  ...['ReduceSum', 'ReduceMean', 'ReduceMax'].flatMap((opType) => [
    { opType, inputs: [x, i64(0, -1)], attributes: { keepdims: int(0) } },
    { title: 'everything', opType, inputs: [x] },
    { title: 'nothing', opType, inputs: [x], attributes: { noop_with_empty_axes: int(1) } },
  ]),
  { title: 'integers', opType: 'ReduceSum', inputs: [numbers, i64(1)] },
  { opType: 'CumSum', inputs: [x, one(-2)] },
  {
    title: 'exclusive, backwards',
    opType: 'CumSum',
    inputs: [x, one(1)],
    attributes: { exclusive: int(1), reverse: int(1) },
  },
  { opType: 'Softmax', inputs: [x] },
  { title: 'along the middle', opType: 'Softmax', inputs: [x], attributes: { axis: int(1) } },
  { opType: 'TopK', inputs: [x, i64(2)], outputs: [true, true] },
  {
    title: 'the smallest of the middle',
    opType: 'TopK',
    inputs: [x, i64(2)],
    attributes: { axis: int(1), largest: int(0) },
    outputs: [true, true],
  },
  { title: 'ties', opType: 'TopK', inputs: [makeTensor('f32', [5], [1, 2, 2, 0, 2]), i64(2)], outputs: [true, true] },
  { opType: 'ArgMax', inputs: [x], attributes: { axis: int(-1), keepdims: int(0) } },
  { title: 'of the first axis', opType: 'ArgMax', inputs: [x] },
  ...[0, 1].map((last) => ({
    title: `ties, ${last === 0 ? 'first' : 'last'}`,
    opType: 'ArgMax',
    inputs: [makeTensor('f32', [3, 2], [2, 1, 1, 1, 2, 0])],
    attributes: { axis: int(0), select_last_index: int(last) },
  })),
];

const scale = f([4], 'scale');
const bias = f([4], 'bias');
const epsilon = { epsilon: float(0.01) };
const microsoft = 'com.microsoft';
const positions = makeTensor('i64', [2, 3], [0, 1, 2, 4, 5, 6]);
const tables = [f([8, 2], 'cos'), f([8, 2], 'sin')];

const transformer: readonly NodeCase[] = [
  { opType: 'LayerNormalization', inputs: [x, scale, bias], attributes: epsilon },
  {
    title: 'two axes, no bias',
    opType: 'LayerNormalization',
    inputs: [x, f([3, 4], 'scale')],
    attributes: { axis: int(1) },
  },
  { opType: 'SimplifiedLayerNormalization', inputs: [x, scale], attributes: epsilon },
  { opType: 'RMSNormalization', opset: 23, inputs: [x, scale], attributes: epsilon },
  {
    opType: 'SkipLayerNormalization',
    domain: microsoft,
    inputs: [x, f([2, 3, 4], 's'), scale, bias, f([4], 'b')],
    attributes: epsilon,
    outputs: [true, false, false, true],
  },
  {
    opType: 'SkipSimplifiedLayerNormalization',
    domain: microsoft,
    inputs: [x, f([2, 3, 4], 's'), scale],
    attributes: epsilon,
    outputs: [true, false, false, true],
  },
  {
    title: 'with bias',
    opType: 'SkipSimplifiedLayerNormalization',
    domain: microsoft,
    inputs: [x, f([2, 3, 4], 's'), scale, bias],
    attributes: epsilon,
  },
  { opType: 'RotaryEmbedding', domain: microsoft, inputs: [f([2, 5, 3, 4], 'r'), positions, ...tables] },
  {
    title: 'heads side by side',
    opType: 'RotaryEmbedding',
    domain: microsoft,
    inputs: [f([2, 3, 12], 'r'), i64(2), ...tables],
  },
  {
    title: 'neighbours',
    opType: 'RotaryEmbedding',
    domain: microsoft,
    inputs: [f([2, 5, 3, 4], 'r'), positions, ...tables],
    attributes: { interleaved: int(1) },
  },
  {
    title: 'part of a head',
    opType: 'RotaryEmbedding',
    domain: microsoft,
    inputs: [f([2, 5, 3, 6], 'r'), positions, ...tables],
    attributes: { num_heads: int(5), rotary_embedding_dim: int(4) },
  },
];

const queries = f([2, 4, 3, 8], 'q');
const keysAndValues = [f([2, 2, 5, 8], 'k'), f([2, 2, 5, 6], 'v')];
const seen = makeTensor(
  'bool',
  [2, 1, 3, 5],
  Array.from({ length: 30 }, (_, i) => Number(i % 5 === 0 || i % 3 === 0)),
);
const attention: readonly NodeCase[] = [
  { opType: 'Attention', opset: 23, inputs: [queries, ...keysAndValues] },
  { title: 'a mask of truths', opType: 'Attention', opset: 23, inputs: [queries, ...keysAndValues, seen] },
  {
    title: 'a mask of numbers for each head',
    opType: 'Attention',
    opset: 23,
    inputs: [queries, ...keysAndValues, f([1, 4, 3, 5], 'bias')],
    attributes: { scale: float(0.7) },
  },
  {
    title: 'a mask of two axes',
    opType: 'Attention',
    opset: 23,
    inputs: [queries, ...keysAndValues, f([3, 5], 'bias')],
  },
];

const gelus: readonly NodeCase[] = [
  ...['Gelu', 'QuickGelu', 'FastGelu'].map((opType) => ({ opType, domain: microsoft, inputs: [x] })),
  { title: 'softer', opType: 'QuickGelu', domain: microsoft, inputs: [x], attributes: { alpha: float(0.5) } },
  ...['FastGelu', 'BiasGelu'].map((opType) => ({ title: 'with bias', opType, domain: microsoft, inputs: [x, bias] })),
];

/** Nodes that the executor and ONNX Runtime have to agree on. */
export const nodeCases: readonly NodeCase[] = [
  ...elementwise,
  ...shape,
  ...axis,
  ...transformer,
  ...attention,
  ...gelus,
];

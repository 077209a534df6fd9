import { describe, expect, test } from 'vitest';
import type { OnnxModel } from '../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../targets/onnx/proto.ts';
import { illegalInFile } from '../../targets/tensorrt/operators/check-legality.ts';
import { findings, version } from './lowered-models.ts';
import {
  constant,
  float,
  type Given,
  graphOf,
  info,
  input,
  int,
  ints,
  modelOf,
  node,
  oneNode,
  text,
  texts,
  type,
} from './one-node-models.ts';

const f32 = (...dims: (number | string)[]) => input('FLOAT', ...dims);
const f16 = (...dims: (number | string)[]) => input('FLOAT16', ...dims);
const i64 = (...dims: (number | string)[]) => input('INT64', ...dims);
const q = f16('b', 4, 's', 8);
const kv = f16('b', 2, 't', 8);
const seen = input('BOOL', 'b', 1, 's', 't');

describe('an operator is refused below the version that has it, and read from there on', () => {
  test.each<[string, OnnxModel, before: string, since: string]>([
    ['Attention', oneNode('Attention', [q, kv, kv, seen]), '10.13', '10.14'],
    ['RMSNormalization', oneNode('RMSNormalization', [f16('n', 8), f16(8)]), '10.14', '10.15'],
    ['RotaryEmbedding', oneNode('RotaryEmbedding', [q, f16('b', 's', 4), f16('b', 's', 4)]), '10.14', '10.15'],
    ['TensorScatter', oneNode('TensorScatter', [f16(2, 4, 8, 8), f16(2, 4, 1, 8), i64(2)]), '10.14', '10.15'],
    ['Swish', oneNode('Swish', [f32('n')]), '10.16', '11.0'],
    ['TRT_Attention', oneNode('TRT_Attention', [q, kv, kv, seen], { domain: 'trt' }), '10.16', '11.0'],
    ['TRT_KVCacheUpdate', oneNode('TRT_KVCacheUpdate', [q, q]), '10.16', '11.0'],
    ['DeformConv', oneNode('DeformConv', [f32(1, 4, 8, 8), f32(4, 4, 3, 3), f32(1, 18, 6, 6)]), '10.0', '10.1'],
    ['HannWindow', oneNode('HannWindow', [constant('INT64', [], 8)]), '10.3', '10.4'],
  ])('%s', (op, model, before, since) => {
    expect(findings(model, since)).toEqual([]);
    expect(findings(model, '11.1')).toEqual([]);
    const found = findings(model, before);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(
      `the_node (${op}): TensorRT ${before} has no ${op}: its parser reads it from ${since} on.`,
    );
  });

  test('what TensorRT says of TRT_MoE and the others is theirs; below 11.0 none is read', () => {
    const model = oneNode('TRT_MoE', [q, q, q, q, q, q]);
    expect(findings(model, '10.16')).toEqual([expect.stringContaining('from 11.0 on')]);
    // Nobody knows what it makes.
    expect(findings(model, '11.0')).toEqual([expect.stringContaining('type of "y0", which it makes, cannot be found')]);
  });
});

describe('types', () => {
  test.each<[string, OnnxModel, string]>([
    [
      'CumSum',
      oneNode('CumSum', [i64('n'), constant('INT64', [], 0)]),
      'Its data is INT64, and TensorRT 10.16 reads CumSum of FP32, FP16 or BF16. Cast it to FP32',
    ],
    [
      'CumSum',
      oneNode('CumSum', [input('DOUBLE', 'n'), constant('INT64', [], 0)]),
      'Its data is DOUBLE, which TensorRT 10.16 makes FP32 without asking. Compute in FP32.',
    ],
    ['Softmax', oneNode('Softmax', [i64(4)]), 'Softmax of FP32, FP16 or BF16'],
    ['Gemm', oneNode('Gemm', [i64(2, 2), i64(2, 2)]), 'Gemm of FP32'],
    ['Equal', oneNode('Equal', [input('BOOL', 2), input('BOOL', 2)]), 'Its data is BOOL'],
    ['And', oneNode('And', [f32(2), f32(2)]), 'reads And of BOOL'],
    ['Add', oneNode('Add', [f32(2), f16(2)]), 'It mixes FP32 ("x0") and FP16 ("x1").'],
    ['Where', oneNode('Where', [f32(2), f32(2), f32(2)]), 'Its input 0 is FP32'],
    ['Gather', oneNode('Gather', [f32(2), f32(2)]), 'Its input 1 is FP32'],
    ['Gather', oneNode('Gather', [input('UINT8', 2), i64(2)]), 'Its data is UINT8'],
    ['Reshape', oneNode('Reshape', [f32(2), input('INT32', 1)]), 'Its input 1 is INT32'],
    ['Cast', oneNode('Cast', [f32(2)], { attributes: { to: type('UINT16') } }), 'Its result is UINT16'],
    ['Cast', oneNode('Cast', [f32(2)], { attributes: { to: type('DOUBLE') } }), 'Its result is DOUBLE'],
    ['Cast', oneNode('Cast', [f32(2)], { attributes: { to: type('FLOAT8E4M3FN') } }), 'Its result is FP8'],
    ['Range', oneNode('Range', [input('INT16'), input('INT16'), input('INT16')]), 'Its data is INT16'],
    ['ReduceSum', oneNode('ReduceSum', [input('INT8', 2), constant('INT64', [1], 0)]), 'Its data is INT8'],
  ])('%s: %#', (op, model, message) => {
    const found = findings(model, '10.16');
    expect(found.filter((line) => line.startsWith('the_node')).join('\n')).toContain(message);
    expect(found.join('\n')).toContain(`(${op}`);
  });

  test('a type that came later is refused before', () => {
    const pow = oneNode('Pow', [i64(2), i64(2)]);
    expect(findings(pow, '10.1')).toEqual([expect.stringContaining('Pow of FP32, FP16 or BF16')]);
    expect(findings(pow, '10.14')).toEqual([]);
    const half = oneNode('ConstantOfShape', [i64(1)], {
      attributes: { value: { kind: 'tensor', value: constant('FLOAT16', [1], 0) } },
    });
    expect(findings(half, '10.0')).toEqual([expect.stringContaining('ConstantOfShape of FP32.')]);
    expect(findings(half, '10.1')).toEqual([]);
  });

  test('a type that cannot be found is told, not passed', () => {
    const graph = graphOf({
      nodes: [node('Relu', ['x'], ['y'])],
      inputs: [info('x', undefined)],
      outputs: [info('y', undefined)],
    });
    const found = findings(modelOf(graph), '11.1').join('\n');
    expect(found).toContain('x (input): Its type cannot be found.');
    expect(found).toContain('Relu_y (Relu): The type of "y", which it makes, cannot be found. Run shape inference');
  });

  test('what a model declares is held against what its nodes make', () => {
    const graph = graphOf({
      nodes: [node('Shape', ['x'], ['s']), node('Identity', ['s'], ['y'])],
      inputs: [info('x', 'FLOAT', 'n')],
      outputs: [info('y', 'INT64', 1)],
      valueInfo: [info('s', 'INT32', 1)],
    });
    expect(findings(modelOf(graph), '11.1').join('\n')).toContain(
      'It makes INT64 of "s", which the model declares as INT32.',
    );
  });

  test('without any value_info types are found all the same', () => {
    const graph = graphOf({
      nodes: [
        node('Shape', ['x'], ['s']),
        node('Cast', ['s'], ['f'], { to: type('FLOAT16') }),
        node('ArgMax', ['x'], ['i']),
        node('TopK', ['x', 'two'], ['v', 'at']),
        node('Add', ['at', 'i'], ['sum']),
        node('CumSum', ['sum', 'zero'], ['y']),
      ],
      inputs: [info('x', 'FLOAT', 'n', 4)],
      outputs: [info('y', undefined), info('f', undefined)],
      initializers: [
        { ...constant('INT64', [1], 2), name: 'two' },
        { ...constant('INT64', [], 0), name: 'zero' },
      ],
    });
    expect(findings(modelOf(graph), '11.1')).toEqual([
      expect.stringContaining('CumSum_y (CumSum, INT64): Its data is INT64'),
    ]);
  });
});

/** What a rule refuses, and a neighbour that it lets pass. */
interface RuleCase {
  readonly title: string;
  readonly bad: OnnxModel;
  readonly good: OnnxModel;
  readonly message: string;
  readonly version?: string;
}

const attention = (more: readonly Given[], attributes = {}, outputs = 1) =>
  oneNode('Attention', [q, kv, kv, ...more], { attributes, outputs });
const plainAttention = attention([seen]);
const quantized = (scale: Given, zero?: Given, attributes = {}, x: Given = f32(4, 6)) =>
  oneNode('QuantizeLinear', [x, scale, zero], { attributes });
const zeros = constant('INT8', [], 0);
const one = constant('FLOAT', [], 0.5);
const computed = (opType: string, x: Given, more: readonly Given[], at: number) => {
  const model = oneNode(opType, [x, ...more]);
  // The input comes through an Identity: a constant, but no initializer.
  const name = model.graph.nodes[0]!.inputs[at]!;
  const inputs = model.graph.nodes[0]!.inputs.with(at, 'through');
  const nodes = [node('Identity', [name], ['through']), { ...model.graph.nodes[0]!, inputs }];
  return { ...model, graph: { ...model.graph, nodes } };
};
const axes = constant('INT64', [1], 1);

const cases: readonly RuleCase[] = [
  { title: 'a past', bad: attention([seen, kv, kv]), good: plainAttention, message: 'It has an input past_key' },
  {
    title: 'lengths',
    bad: attention([seen, undefined, undefined, i64('b')]),
    good: plainAttention,
    message: 'nonpad_kv_seqlen',
  },
  {
    title: 'a second output',
    bad: attention([seen], {}, 2),
    good: plainAttention,
    message: 'It has 2 outputs, and TensorRT 11.1 makes 1',
  },
  {
    title: 'a softcap',
    bad: attention([seen], { softcap: float(30) }),
    good: attention([seen], { softcap: float(0) }),
    message: 'softcap',
  },
  {
    title: 'softmax in another type',
    bad: attention([seen], { softmax_precision: int(1) }),
    good: plainAttention,
    message: 'softmax_precision',
  },
  {
    title: 'causal and a mask',
    bad: attention([seen], { is_causal: int(1) }),
    good: attention([seen], { is_causal: int(0) }),
    message: 'exclude each other',
  },
  {
    title: 'causal with more keys than queries',
    bad: attention([], { is_causal: int(1) }),
    good: oneNode('Attention', [q, f16('b', 2, 's', 8), f16('b', 2, 's', 8)], { attributes: { is_causal: int(1) } }),
    message: 'upper left',
  },
  {
    title: 'a mask of another float',
    bad: attention([f32('b', 1, 's', 't')]),
    good: attention([f16('b', 1, 's', 't')]),
    message: 'Its mask is FP32',
  },
  {
    title: 'a mask of two axes',
    bad: attention([f16('s', 't')]),
    good: plainAttention,
    message: 'Its mask "x3" has 2 axes',
  },
  {
    title: 'a scale with no root',
    bad: attention([seen], { scale: float(-1) }),
    good: attention([seen], { scale: float(0.1) }),
    message: 'takes the root',
  },
  {
    title: 'three axes',
    bad: oneNode('Attention', [f16('b', 's', 32), f16('b', 't', 16), f16('b', 't', 16)], {
      attributes: { q_num_heads: int(4), kv_num_heads: int(2) },
    }),
    good: plainAttention,
    message: 'Its queries "x0" have 3 axes',
  },
  {
    title: 'heads that do not fit',
    bad: oneNode('Attention', [q, f16('b', 3, 't', 8), f16('b', 3, 't', 8)]),
    good: oneNode('Attention', [q, kv, kv]),
    message: '4 query heads for 3',
  },
  {
    title: 'values of another width',
    bad: oneNode('Attention', [q, kv, f16('b', 2, 't', 6)]),
    good: oneNode('Attention', [q, kv, kv]),
    message: 'Its values are 6 wide',
  },
  {
    title: 'packed tokens before 11.1',
    bad: oneNode('TRT_Attention', [f16('t', 4, 8), kv, kv, undefined, input('INT32', 3)], {
      attributes: { query_form: text('packed_nhd') },
    }),
    good: oneNode('TRT_Attention', [q, kv, kv]),
    message: 'from TensorRT 11.1 on',
    version: '11.0',
  },
  {
    title: 'positions of INT32',
    bad: oneNode('RotaryEmbedding', [q, f16(9, 4), f16(9, 4), input('INT32', 'b', 's')]),
    good: oneNode('RotaryEmbedding', [q, f16(9, 4), f16(9, 4), i64('b', 's')]),
    message: 'Its position_ids are INT32',
  },
  {
    title: 'an empty fourth input',
    bad: oneNode('RotaryEmbedding', [q, f16('b', 's', 4), f16('b', 's', 4), undefined]),
    good: oneNode('RotaryEmbedding', [q, f16('b', 's', 4), f16('b', 's', 4)]),
    message: 'fourth input',
  },
  {
    title: 'a cache of three axes',
    bad: oneNode('TensorScatter', [f16(2, 8, 8), f16(2, 1, 8)]),
    good: oneNode('TensorScatter', [q, q]),
    message: 'has 3 axes',
  },
  {
    title: 'a cache in a circle',
    bad: oneNode('TensorScatter', [q, q], { attributes: { mode: text('circular') } }),
    good: oneNode('TensorScatter', [q, q], { attributes: { mode: text('linear') } }),
    message: 'in a circle',
  },
  {
    title: 'too many of the best',
    bad: oneNode('TopK', [f32('n', 9000), constant('INT64', [1], 3840)], { outputs: 2 }),
    good: oneNode('TopK', [f32('n', 9000), constant('INT64', [1], 3839)], { outputs: 2 }),
    message: 'It takes 3840',
  },
  {
    title: 'the best, unsorted',
    bad: oneNode('TopK', [f32(9), constant('INT64', [1], 2)], { outputs: 2, attributes: { sorted: int(0) } }),
    good: oneNode('TopK', [f32(9), constant('INT64', [1], 2)], { outputs: 2 }),
    message: 'unsorted',
  },
  {
    title: 'nobody knows how many of the best',
    bad: oneNode('TopK', [f32('n'), i64(1)], { outputs: 2 }),
    good: oneNode('TopK', [f32(3000), i64(1)], { outputs: 2 }),
    message: 'known only when the graph runs',
  },
  {
    title: 'axes of a sum that are computed',
    bad: computed('ReduceSum', f32(2, 3), [axes], 1),
    good: oneNode('ReduceSum', [f32(2, 3), axes]),
    message: 'Its axes "through" is computed',
  },
  {
    title: 'axes of a sum that are an input',
    bad: oneNode('ReduceMean', [f32(2, 3), i64(1)]),
    good: oneNode('ReduceMean', [f32(2, 3), axes]),
    message: 'reads only an initializer',
  },
  {
    title: 'axes of Unsqueeze before 10.14',
    bad: computed('Unsqueeze', f32(2), [axes], 1),
    good: oneNode('Unsqueeze', [f32(2), axes]),
    message: 'reads only an initializer',
    version: '10.0',
  },
  {
    title: 'axes of Unsqueeze',
    bad: oneNode('Unsqueeze', [f32(2), i64(1)]),
    good: computed('Unsqueeze', f32(2), [axes], 1),
    message: 'has to know it before',
  },
  {
    title: 'axes of Slice before 10.3',
    bad: oneNode('Slice', [f32(2), i64(1), i64(1), i64(1)]),
    good: oneNode('Slice', [f32(2), i64(1), i64(1), constant('INT64', [1], 0)]),
    message: 'Its axes "x3" is computed',
    version: '10.2',
  },
  {
    title: 'the axis of CumSum',
    bad: oneNode('CumSum', [f32(2), i64()]),
    good: oneNode('CumSum', [f32(2), constant('INT64', [], 0)]),
    message: 'Its axis "x1"',
  },
  {
    title: 'training',
    bad: oneNode('Dropout', [f32(2), one, constant('BOOL', [], 1)]),
    good: oneNode('Dropout', [f32(2), one, constant('BOOL', [], 0)]),
    message: 'drops at random',
  },
  {
    title: 'the depth of OneHot',
    bad: oneNode('OneHot', [i64(2), i64(), f32(2)]),
    good: oneNode('OneHot', [i64(2), constant('INT64', [], 3), f32(2)]),
    message: 'Its depth "x1"',
  },
  {
    title: 'Hardmax along nobody knows what',
    bad: oneNode('Hardmax', [f32('n')]),
    good: oneNode('Hardmax', [f32(5)]),
    message: 'whose size is known only',
  },
  {
    title: 'adding to places',
    bad: oneNode('ScatterND', [f32(4, 2), i64(1, 1), f32(1, 2)], { attributes: { reduction: text('add') } }),
    good: oneNode('ScatterND', [f32(4, 2), i64(1, 1), f32(1, 2)]),
    message: 'Its reduction is "add"',
  },
  {
    title: 'saying that nothing is added, to 10.0',
    bad: oneNode('ScatterND', [f32(4, 2), i64(1, 1), f32(1, 2)], { attributes: { reduction: text('none') } }),
    good: oneNode('ScatterND', [f32(4, 2), i64(1, 1), f32(1, 2)]),
    message: 'refuses in any form',
    version: '10.0',
  },
  {
    title: 'a zero point',
    bad: quantized(one, constant('INT8', [], 3)),
    good: quantized(one, zeros),
    message: 'zero point is not zero',
  },
  {
    title: 'a zero point that is computed',
    bad: quantized(one, input('INT8')),
    good: quantized(one, zeros),
    message: 'cannot be found',
  },
  {
    title: 'quantizing to UINT8',
    bad: quantized(one, constant('UINT8', [], 0)),
    good: quantized(one, zeros),
    message: 'It makes UINT8',
  },
  {
    title: 'not saying what it makes',
    bad: quantized(one),
    good: quantized(one, undefined, { output_dtype: type('INT8') }),
    message: 'UINT8 by ONNX, INT8 to TensorRT',
  },
  {
    title: 'a scale of 0',
    bad: quantized(constant('FLOAT', [], 0), zeros),
    good: quantized(one, zeros),
    message: 'not positive',
  },
  {
    title: 'scales that are no channels',
    bad: quantized(constant('FLOAT', [2], 1, 1), undefined, { axis: int(0), output_dtype: type('INT8') }),
    good: quantized(constant('FLOAT', [4], 1, 1, 1, 1), undefined, { axis: int(0), output_dtype: type('INT8') }),
    message: '2 scales for 4 channels',
  },
  {
    title: 'blocks along two axes',
    bad: quantized(f32(2, 3), undefined, { output_dtype: type('INT8') }),
    good: quantized(f32(4, 3), undefined, { output_dtype: type('INT8') }),
    message: 'no blocks along one axis',
  },
  {
    title: 'an odd number of 4 bits',
    bad: quantized(one, undefined, { output_dtype: type('INT4') }, f32(3, 5)),
    good: quantized(one, undefined, { output_dtype: type('INT4') }, f32(4, 5)),
    message: '15 elements of 4 bits',
  },
  {
    title: 'LSTM with its layout',
    bad: oneNode('LSTM', [f32(2, 3, 4), f32(1, 20, 4), f32(1, 20, 5)], { attributes: { layout: int(1) } }),
    good: oneNode('LSTM', [f32(2, 3, 4), f32(1, 20, 4), f32(1, 20, 5)]),
    message: 'Its layout is 1',
  },
  {
    title: 'GRU with two kinds of activations',
    bad: oneNode('GRU', [f32(2, 3, 4), f32(2, 15, 4), f32(2, 15, 5)], {
      attributes: { direction: text('bidirectional'), activations: texts('Tanh', 'Relu', 'Tanh', 'Tanh') },
    }),
    good: oneNode('GRU', [f32(2, 3, 4), f32(2, 15, 4), f32(2, 15, 5)], {
      attributes: { direction: text('bidirectional') },
    }),
    message: 'other activations',
  },
  {
    title: 'cubic',
    bad: oneNode('Resize', [f32(1, 1, 2, 2), undefined, f32(4)], { attributes: { mode: text('cubic') } }),
    good: oneNode('Resize', [f32(1, 1, 2, 2), undefined, f32(4)], { attributes: { mode: text('linear') } }),
    message: 'Its mode is "cubic"',
  },
  {
    title: 'places of the largest',
    bad: oneNode('MaxPool', [f32(1, 1, 4, 4)], { outputs: 2 }),
    good: oneNode('MaxPool', [f32(1, 1, 4, 4)]),
    message: 'It has 2 outputs',
  },
  {
    title: 'pooling of one axis',
    bad: oneNode('MaxPool', [f32(1, 1, 4)]),
    good: oneNode('MaxPool', [f32(1, 1, 4, 4)]),
    message: 'has 3 axes',
  },
  {
    title: 'dilated pooling',
    bad: oneNode('AveragePool', [f32(1, 1, 4, 4)], { attributes: { dilations: ints(2, 1) } }),
    good: oneNode('AveragePool', [f32(1, 1, 4, 4)], { attributes: { dilations: ints(1, 1) } }),
    message: 'It dilates',
  },
  {
    title: 'mean and deviation, too',
    bad: oneNode('LayerNormalization', [f32(2, 4), f32(4)], { outputs: 2 }),
    good: oneNode('LayerNormalization', [f32(2, 4), f32(4)]),
    message: 'It has 2 outputs',
  },
  {
    title: 'another Gelu',
    bad: oneNode('Gelu', [f32(2)], { attributes: { approximate: text('fast') } }),
    good: oneNode('Gelu', [f32(2)], { attributes: { approximate: text('tanh') } }),
    message: 'Its approximate is "fast"',
  },
  {
    title: 'nine axes',
    bad: oneNode('Unsqueeze', [f32(1, 1, 1, 1, 1, 1, 1, 1), constant('INT64', [1], 0)]),
    good: oneNode('Unsqueeze', [f32(1, 1, 1, 1, 1, 1, 1), constant('INT64', [1], 0)]),
    message: '"y0" has 9 axes',
  },
  {
    title: 'an operator that nobody reads',
    bad: oneNode('DFT', [f32(1, 8, 1)]),
    good: oneNode('Relu', [f32(1)]),
    message: 'none of its versions reads it',
  },
  {
    title: 'an operator of somebody else',
    bad: oneNode('GroupQueryAttention', [q, q, q], { domain: 'com.microsoft' }),
    good: oneNode('Gelu', [f32(1)], { domain: 'com.microsoft' }),
    message: 'no GroupQueryAttention of com.microsoft: it looks for a plugin',
  },
  {
    title: 'an operator of somebody else that has a name of ours',
    bad: oneNode('Attention', [f32(2, 3, 4), f32(4, 12), f32(12)], { domain: 'com.microsoft' }),
    good: plainAttention,
    message: 'which means something else',
  },
  {
    title: 'a plugin',
    bad: oneNode('Relu', [f32(1)], { attributes: { plugin_namespace: text('mine') } }),
    good: oneNode('Relu', [f32(1)]),
    message: 'It is a plugin',
  },
  {
    title: 'too many inputs',
    bad: oneNode('Add', [f32(1), f32(1), f32(1)]),
    good: oneNode('Add', [f32(1), f32(1)]),
    message: 'It has 3 inputs',
  },
  {
    title: 'too few inputs',
    bad: oneNode('Add', [f32(1)]),
    good: oneNode('Max', [f32(1)]),
    message: 'Its input 1 is missing',
  },
  {
    title: 'an opset that no version documents',
    bad: oneNode('Relu', [f32(1)], { opset: 25 }),
    good: oneNode('Relu', [f32(1)], { opset: 9 }),
    message: 'opset 25',
  },
  {
    title: 'text',
    bad: oneNode('Constant', [], { attributes: { value_string: text('a') } }),
    good: oneNode('Constant', [], { attributes: { value_int: int(1) } }),
    message: 'value_string',
  },
];

describe('rules', () => {
  test.each(cases)('$title', ({ bad, good, message, version: at = '11.1' }) => {
    expect(findings(bad, at).join('\n')).toContain(message);
    expect(findings(good, at)).toEqual([]);
  });
});

describe('what is around the nodes', () => {
  const relu = graphOf({
    nodes: [node('Relu', ['x'], ['y'])],
    inputs: [info('x', 'FLOAT', 'n')],
    outputs: [info('y', 'FLOAT', 'n')],
  });

  test.each(['a,b', "a'b", 'a"b', 'a*'])('an input called %s cannot be told trtexec', (name) => {
    const graph = { ...relu, nodes: [node('Relu', [name], ['y'])], inputs: [info(name, 'FLOAT', 'n')] };
    expect(findings(modelOf(graph), '11.1')).toEqual([expect.stringContaining('command line of trtexec')]);
    expect(findings(modelOf(relu), '11.1')).toEqual([]);
  });

  test('an output that is an input gets another name', () => {
    const graph = { ...relu, outputs: [...relu.outputs, info('x', 'FLOAT', 'n')] };
    expect(findings(modelOf(graph), '11.1')).toEqual([expect.stringContaining('x (output): It is an input as well')]);
  });

  test.each([
    [{ location: '../w.bin' }, 'have to lie beside the model'],
    [{ location: '/w.bin' }, 'have to lie beside the model'],
    [{ length: 12 }, 'It has 12 bytes where FP32 [4] takes 16'],
    [{ otherKeys: ['checksum', 'basepath'] }, 'says basepath, and the parser reads location, offset, length, checksum'],
    [{ offset: -8 }, 'Its bytes are at -8'],
  ])('external data: %o', (change, message) => {
    const data = { kind: 'external' as const, location: 'w.bin', offset: 8, length: 16 };
    const graph = (more: object) => ({
      ...relu,
      nodes: [node('Add', ['x', 'w'], ['y'])],
      inputs: [info('x', 'FLOAT', 4)],
      initializers: [{ name: 'w', elementType: 'FLOAT' as const, dims: [4], data: { ...data, ...more } }],
    });
    expect(findings(modelOf(graph(change)), '11.1')).toEqual([expect.stringContaining(message)]);
    expect(findings(modelOf(graph({})), '11.1')).toEqual([]);
  });

  test('initializers of bytes are for quantization alone', () => {
    const bytes = { ...constant('UINT8', [2], 1, 2), name: 'w' };
    const graph = { ...relu, initializers: [bytes] };
    expect(findings(modelOf(graph), '11.1')).toEqual([
      expect.stringContaining('w (initializer, UINT8): It is UINT8, which becomes INT32'),
    ]);
  });

  test('what nothing makes, and what two make', () => {
    const lost = { ...relu, nodes: [node('Add', ['x', 'lost'], ['y'])] };
    expect(findings(modelOf(lost), '11.1')).toEqual(
      expect.arrayContaining([expect.stringContaining('reads "lost", which nothing makes')]),
    );
    const twice = { ...relu, nodes: [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['y'])] };
    expect(findings(modelOf(twice), '11.1')).toEqual([expect.stringContaining('It makes "y", which is there already')]);
  });

  test('graphs are sorted by the parser, so nodes in any order are fine', () => {
    const nodes = [node('Neg', ['h'], ['y']), node('Relu', ['x'], ['h'])];
    expect(findings(modelOf({ ...relu, nodes }), '11.1')).toEqual([]);
  });

  test('a file is read, and one that is none is told', () => {
    const read = illegalInFile(encodeModel(modelOf(relu)), version('11.1'));
    expect(read).toMatchObject({ ok: true, value: [] });
    expect(illegalInFile(new Uint8Array([1, 2, 3]), version('11.1'), 'odd.onnx')).toMatchObject({
      ok: false,
      diagnostics: [{ code: 'invalid-onnx', location: { file: 'odd.onnx' } }],
    });
  });
});

describe('functions', () => {
  const call = (inputs: readonly string[], name = 'rtc_twice') => node(name, inputs, ['y'], {}, 'local');
  const twice = {
    name: 'rtc_twice',
    domain: 'local',
    inputs: ['a'],
    outputs: ['b'],
    nodes: [node('Add', ['a', 'a'], ['b'])],
  };
  const graph = (nodes: readonly ReturnType<typeof node>[], dtype: 'FLOAT' | 'INT64' | 'BOOL' = 'FLOAT') =>
    graphOf({ nodes, inputs: [info('x', dtype, 'n')], outputs: [info('y', undefined)] });
  const check = (model: OnnxModel) => findings(model, '11.1').join('\n');

  test('a call is looked into with the types that it is given', () => {
    expect(check(modelOf(graph([call(['x'])]), 24, [twice]))).toBe('');
    expect(check(modelOf(graph([call(['x'])], 'BOOL'), 24, [twice]))).toContain('rtc_twice_y/Add_b (Add, BOOL)');
  });

  test('one that is called like an operator is never called', () => {
    const named = { ...twice, name: 'Softplus' };
    expect(check(modelOf(graph([call(['x'], 'Softplus')]), 24, [named]))).toContain(
      'Softplus (function): It is called like an operator',
    );
  });

  test('domains are not looked at, inputs are counted, and bodies are read in order', () => {
    expect(check(modelOf(graph([call(['x'])]), 24, [twice, { ...twice, domain: 'other' }]))).toContain(
      'another function of that name',
    );
    expect(check(modelOf(graph([call(['x', 'x'])]), 24, [twice]))).toContain('calls a function of 1 inputs with 2');
    expect(check(modelOf(graph([call([''])]), 24, [twice]))).toContain('calls a function of 1 inputs with 0');
    const unsorted = { ...twice, nodes: [node('Neg', ['h'], ['b']), node('Relu', ['a'], ['h'])] };
    expect(check(modelOf(graph([call(['x'])]), 24, [unsorted]))).toContain('It reads "h" before it is made');
  });

  test('a function that calls itself ends somewhere', () => {
    const endless = { ...twice, nodes: [node('rtc_twice', ['a'], ['b'], {}, 'local')] };
    expect(check(modelOf(graph([call(['x'])]), 24, [endless]))).toContain('more than 24 bodies and functions');
  });
});

describe('control flow', () => {
  const scalar = (name: string) => info(name, 'BOOL');
  const branch = (output: string, dims: readonly (number | string)[], op = 'Neg', dtype: 'FLOAT' | 'INT64' = 'FLOAT') =>
    graphOf({
      nodes: op === '' ? [] : [node(op, ['x'], [output])],
      outputs: [{ name: output, elementType: dtype, dims }],
    });
  const check = (model: OnnxModel) => findings(model, '11.1').join('\n');
  const graph = (then: ReturnType<typeof graphOf>, otherwise: ReturnType<typeof graphOf>, given = 'c') =>
    modelOf(
      graphOf({
        nodes: [
          node('If', [given], ['y'], {
            then_branch: { kind: 'graph', value: then },
            else_branch: { kind: 'graph', value: otherwise },
          }),
        ],
        inputs: [info('x', 'FLOAT', 'n'), scalar('c')],
        initializers: [{ ...constant('BOOL', [], 1), name: 'always' }],
        outputs: [info('y', undefined)],
      }),
    );

  test('If: names, axes and types of its branches', () => {
    expect(check(graph(branch('a', ['n']), branch('b', ['n'])))).toBe('');
    expect(check(graph(branch('a', ['n']), branch('a', ['n'])))).toContain('Both branches call an output "a"');
    expect(check(graph(branch('a', ['n']), branch('b', [], 'Size', 'INT64')))).toMatch(
      /FP32 and INT64[\s\S]*1 axes and "b" with 0/,
    );
    // A constant condition: only the branch that is taken is read.
    expect(check(graph(branch('a', ['n']), branch('a', ['n'], 'DFT'), 'always'))).toBe('');
    expect(check(graph(branch('a', ['n'], 'DFT'), branch('a', ['n']), 'always'))).toContain('no DFT');
  });

  const loop = (
    body: Partial<ReturnType<typeof graphOf>>,
    {
      trips = 'three',
      condition = '',
      outputs = ['y'],
    }: { trips?: string; condition?: string; outputs?: readonly string[] } = {},
  ) =>
    modelOf(
      graphOf({
        nodes: [
          node('Loop', [trips, condition, 'x'], outputs, {
            body: {
              kind: 'graph',
              value: graphOf({
                nodes: [node('Identity', ['going'], ['goes_on']), node('Neg', ['carried'], ['next'])],
                inputs: [info('i', 'INT64'), scalar('going'), info('carried', 'FLOAT', 'n')],
                outputs: [scalar('goes_on'), info('next', 'FLOAT', 'n')],
                ...body,
              }),
            },
          }),
        ],
        inputs: [info('x', 'FLOAT', 4), info('asked', 'INT64'), scalar('c')],
        initializers: [
          { ...constant('INT64', [], 3), name: 'three' },
          { ...constant('INT64', [], 2 ** 31 - 1), name: 'forever' },
        ],
        outputs: outputs.map((name) => info(name, undefined)),
      }),
    );
  const collecting = {
    nodes: [
      node('Identity', ['going'], ['goes_on']),
      node('Neg', ['carried'], ['next']),
      node('Exp', ['carried'], ['row']),
    ],
    outputs: [scalar('goes_on'), info('next', 'FLOAT', 'n'), info('row', 'FLOAT', 'n')],
  };

  test('Loop: what it carries keeps type and sizes', () => {
    expect(check(loop({}))).toBe('');
    const grows = {
      nodes: [
        node('Identity', ['going'], ['goes_on']),
        node('Concat', ['carried', 'carried'], ['next'], { axis: int(0) }),
      ],
      outputs: [scalar('goes_on'), info('next', undefined)],
    };
    expect(
      check(loop({ ...grows, outputs: [scalar('goes_on'), { ...info('next', 'FLOAT'), dims: undefined }] })),
    ).toContain('with sizes [4] and gets [8] back');
    const casts = {
      nodes: [node('Identity', ['going'], ['goes_on']), node('Cast', ['carried'], ['next'], { to: type('FLOAT16') })],
      outputs: [scalar('goes_on'), info('next', 'FLOAT16', 'n')],
    };
    expect(check(loop(casts))).toContain('carries "x" as FP32 and gets it back as FP16');
  });

  test('Loop: what it collects is as long as the trip count says', () => {
    const outputs = ['y', 'rows'];
    expect(check(loop(collecting, { outputs }))).toBe('');
    expect(check(loop(collecting, { outputs, trips: '' }))).toContain('has no trip count, which TensorRT 11.1 refuses');
    expect(check(loop(collecting, { outputs, trips: 'asked' }))).toContain('as often as "asked" says');
    expect(check(loop(collecting, { outputs, condition: 'c' }))).toContain('may end early');
    const stops = { ...collecting, nodes: [node('Not', ['going'], ['goes_on']), ...collecting.nodes.slice(1)] };
    expect(check(loop(stops, { outputs }))).toContain('may end early');
  });

  test('Loop: who runs forever does not know how often it ran', () => {
    const counts = {
      nodes: [
        node('Identity', ['going'], ['goes_on']),
        node('Cast', ['i'], ['f'], { to: type('FLOAT') }),
        node('Add', ['carried', 'f'], ['next']),
      ],
    };
    expect(check(loop(counts))).toBe('');
    expect(check(loop(counts, { trips: 'forever' }))).toContain('reads the number of the iteration');
    expect(check(loop(counts, { trips: '', condition: 'c' }))).toContain('it has no trip count');
    expect(check(loop({}, { trips: 'forever' }))).toBe('');
  });

  test('Scan: it needs a state', () => {
    const scan = (states: readonly string[]) =>
      modelOf(
        graphOf({
          nodes: [
            node('Scan', [...states, 'x'], [...states.map(() => 'last'), 'y'], {
              num_scan_inputs: int(1),
              body: {
                kind: 'graph',
                value: graphOf({
                  nodes: [node('Neg', ['row'], ['out']), ...states.map(() => node('Identity', ['state'], ['kept']))],
                  inputs: [...states.map(() => info('state', 'FLOAT')), info('row', 'FLOAT', 4)],
                  outputs: [...states.map(() => info('kept', 'FLOAT')), info('out', 'FLOAT', 4)],
                }),
              },
            }),
          ],
          inputs: [info('x', 'FLOAT', 'n', 4), info('s', 'FLOAT')],
          outputs: [info('y', undefined)],
        }),
      );
    expect(check(scan(['s']))).toBe('');
    expect(check(scan([]))).toContain('wants a state');
  });

  test('25 bodies, one in the other, are one too many', () => {
    const nested = (depth: number): ReturnType<typeof graphOf> =>
      depth === 0
        ? branch('y', ['n'])
        : graphOf({
            nodes: [
              node('If', ['c'], [`y${depth}`], {
                then_branch: { kind: 'graph', value: renamed(nested(depth - 1), `t${depth}`) },
                else_branch: { kind: 'graph', value: branch(`e${depth}`, ['n']) },
              }),
            ],
            outputs: [info(`y${depth}`, 'FLOAT', 'n')],
          });
    const renamed = (inner: ReturnType<typeof graphOf>, to: string) =>
      graphOf({
        nodes: [...inner.nodes, node('Identity', [inner.outputs[0]!.name], [to])],
        outputs: [info(to, 'FLOAT', 'n')],
      });
    const whole = (depth: number) => {
      const inner = nested(depth);
      return modelOf({ ...inner, inputs: [info('x', 'FLOAT', 'n'), scalar('c')] });
    };
    expect(check(whole(24))).toBe('');
    expect(check(whole(25))).toContain('more than 24 bodies and functions');
  });
});

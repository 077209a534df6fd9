import { describe, expect, test } from 'vitest';
import type { OnnxModel } from '../../targets/onnx/onnx-model.ts';
import { findings } from './lowered-models.ts';
import { constant, float, type Given, input, int, ints, node, oneNode, text, texts, type } from './one-node-models.ts';

const f32 = (...dims: (number | string)[]) => input('FLOAT', ...dims);
const f16 = (...dims: (number | string)[]) => input('FLOAT16', ...dims);
const i64 = (...dims: (number | string)[]) => input('INT64', ...dims);
const q = f16('b', 4, 's', 8);
const kv = f16('b', 2, 't', 8);
const seen = input('BOOL', 'b', 1, 's', 't');

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

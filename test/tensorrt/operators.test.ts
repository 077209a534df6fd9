import { describe, expect, test } from 'vitest';
import type { OnnxModel } from '../../targets/onnx/onnx-model.ts';
import { findings } from './lowered-models.ts';
import { constant, graphOf, info, input, modelOf, node, oneNode, type } from './one-node-models.ts';

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

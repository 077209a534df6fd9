import { expect, test } from 'vitest';
import { nodeDescriber } from '../../../targets/tensorrt/trtexec/describe-node.ts';
import { smallModelBytes } from './small-model.ts';

const describe = nodeDescriber(smallModelBytes);

test.each([
  [
    0,
    'MatMul',
    '/block/layer.3/self_attn/q_proj/out',
    'MatMul in block, layer 3, self_attn.q_proj (node "/block/layer.3/self_attn/q_proj/MatMul")',
  ],
  [1, 'Relu', '/depth.1/layer.0/mlp/up', 'Relu in loop 2 (depth 1), layer 0, mlp (node "/depth.1/layer.0/mlp/Relu")'],
  [3, 'Add', 'y', 'Add in head, norm (node "/head/norm/Add")'],
  [2, 'Shape', '/size/Shape.out', 'Shape in sizes of inputs (node "/size/Shape")'],
])('node %i, %s, is found by its output', (number, opType, output, expected) => {
  expect(describe(number, opType, output)).toBe(expected);
  // By number where the output has another name, but only if the operator agrees.
  expect(describe(number, opType, 'another')).toBe(expected);
  expect(describe(number, 'Gemm', 'another')).toBeUndefined();
  // A number that the parser counted otherwise does not lead astray.
  expect(describe(99, opType, output)).toBe(expected);
});

test("TensorRT's messages also say a node's own name", () => {
  expect(describe(-1, '', '/depth.1/layer.0/mlp/Relu')).toContain('loop 2 (depth 1), layer 0, mlp');
});

test('nothing is known of other nodes, nor of bytes that are no model', () => {
  expect(describe(-1, '', '')).toBeUndefined();
  expect(describe(4, 'MatMul', '')).toBeUndefined();
  expect(nodeDescriber(Uint8Array.of(1, 2, 3))(0, 'MatMul', 'y')).toBeUndefined();
});

import onnxProto from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import { allNodes, type OnnxElementType, type OnnxGraph, type OnnxModel } from '../../targets/onnx/onnx-model.ts';
import { decodeModel, encodeModel } from '../../targets/onnx/proto.ts';

const { onnx } = onnxProto;

const body: OnnxGraph = {
  name: 'body',
  docString: '',
  nodes: [{ name: '/inner', opType: 'Not', domain: '', inputs: ['going'], outputs: ['ended'], attributes: {} }],
  initializers: [],
  inputs: [{ name: 'going', elementType: 'BOOL', dims: [] }],
  outputs: [{ name: 'ended', elementType: 'BOOL', dims: [] }],
  valueInfo: [],
};

const model: OnnxModel = {
  irVersion: 10,
  opsets: [
    { domain: '', version: 21 },
    { domain: 'com.microsoft', version: 1 },
  ],
  producerName: 'rtc',
  producerVersion: '1.2.3',
  docString: '',
  metadata: { 'rtc.form': 'unrolled', 'rtc.dialect': 'ort' },
  graph: {
    name: 'tiny',
    docString: 'a graph',
    nodes: [
      {
        name: '/layer.0/Loop',
        opType: 'Loop',
        domain: '',
        inputs: ['', 'x'],
        outputs: ['y', ''],
        attributes: {
          body: { kind: 'graph', value: body },
          axis: { kind: 'int', value: -1 },
          most: { kind: 'int', value: 2 ** 53 - 1 },
          epsilon: { kind: 'float', value: 0.5 },
          mode: { kind: 'string', value: 'größer' },
          perm: { kind: 'ints', value: [0, -2, 1] },
          scales: { kind: 'floats', value: [1.5, -0] },
          names: { kind: 'strings', value: ['a', ''] },
          value: {
            kind: 'tensor',
            value: { name: '', elementType: 'INT64', dims: [], data: { kind: 'inline', bytes: new Uint8Array(8) } },
          },
        },
      },
    ],
    initializers: [
      {
        name: 'w',
        elementType: 'BFLOAT16',
        dims: [2, 3],
        data: { kind: 'external', location: 'model.safetensors', offset: 2 ** 40 + 8, length: 12 },
      },
      { name: 'q', elementType: 'INT4', dims: [3], data: { kind: 'inline', bytes: Uint8Array.of(0x21, 0x03) } },
      { name: 'none', elementType: 'FLOAT', dims: [0, 4], data: { kind: 'inline', bytes: new Uint8Array() } },
    ],
    inputs: [{ name: 'x', elementType: 'FLOAT', dims: ['batch', 'past+sequence', 64] }],
    outputs: [{ name: 'y', elementType: 'FLOAT16', dims: [] }],
    valueInfo: [{ name: 'z', elementType: 'INT64', dims: [1] }],
  },
};

describe('encodeModel', () => {
  test('what is written is read back', () => {
    const read = decodeModel(encodeModel(model), 'model.onnx');
    expect(read.ok && read.value).toEqual(model);
  });

  test('the same model gives the same bytes', () => {
    expect(encodeModel(structuredClone(model))).toEqual(encodeModel(model));
  });

  test('a message that no protobuf can hold is refused, before and behind encoding', () => {
    const { length } = encodeModel(model);
    expect(encodeModel(model, length)).toHaveLength(length);
    expect(() => encodeModel(model, length - 1)).toThrow(`takes ${length} bytes`);
    // 10 bytes of tensors stand in it as they are.
    expect(() => encodeModel(model, 9)).toThrow('takes 10 bytes');
  });
});

describe('decodeModel', () => {
  test.each([
    ['nothing', new Uint8Array()],
    ['text', new TextEncoder().encode('<html>not found</html>')],
    ['half a model', encodeModel(model).subarray(0, 300)],
    ['a message without a graph', onnx.ModelProto.encode({ irVersion: 8 }).finish()],
  ])('%s is a diagnostic', (_, bytes) => {
    const read = decodeModel(bytes, 'some/model.onnx');
    expect(read.diagnostics).toMatchObject([{ code: 'invalid-onnx', location: { file: 'some/model.onnx' } }]);
    expect(read.ok).toBe(false);
  });

  const number = (elementType: number, fields: onnxProto.onnx.ITensorProto, dims = [2]) =>
    readTensor({ dims, dataType: elementType, ...fields });

  test.each<[string, ReturnType<typeof number>, OnnxElementType, Uint8Array]>([
    ['float_data', number(1, { floatData: [1, -2] }), 'FLOAT', bytesOf(Float32Array.of(1, -2))],
    ['double_data', number(11, { doubleData: [1, -2] }), 'DOUBLE', bytesOf(Float64Array.of(1, -2))],
    ['int64_data', number(7, { int64Data: [1, -2] }), 'INT64', bytesOf(BigInt64Array.of(1n, -2n))],
    ['uint64_data', number(13, { uint64Data: [1, 2] }), 'UINT64', bytesOf(BigUint64Array.of(1n, 2n))],
    ['uint32 in uint64_data', number(12, { uint64Data: [1, 2] }), 'UINT32', bytesOf(Uint32Array.of(1, 2))],
    ['int32_data', number(6, { int32Data: [1, -2] }), 'INT32', bytesOf(Int32Array.of(1, -2))],
    ['int8 in int32_data', number(3, { int32Data: [1, -2] }), 'INT8', bytesOf(Int8Array.of(1, -2))],
    [
      'half floats in int32_data',
      number(10, { int32Data: [0x3c00, 1] }),
      'FLOAT16',
      bytesOf(Uint16Array.of(0x3c00, 1)),
    ],
    ['nibbles in int32_data', number(22, { int32Data: [0x21, 3] }, [3]), 'INT4', Uint8Array.of(0x21, 3)],
    ['a type of the future', number(99, { rawData: Uint8Array.of(7) }), 'UNDEFINED', Uint8Array.of(7)],
  ])('elements that other exporters write as %s', (_, tensor, elementType, bytes) => {
    expect(tensor.elementType).toBe(elementType);
    expect(tensor.data).toEqual({ kind: 'inline', bytes });
  });

  test('external data without a length has the length of the tensor', () => {
    const tensor = number(10, {
      dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
      externalData: [{ key: 'location', value: 'weights.bin' }],
    });
    expect(tensor.data).toEqual({ kind: 'external', location: 'weights.bin', offset: 0, length: 4 });
  });

  test('axes and types that are left open stay open', () => {
    const tensorType = { elemType: 1, shape: { dim: [{ dimValue: 0 }, { dimParam: '' }, {}] } };
    const graph = readGraph({
      input: [{ name: 'a', type: { tensorType } }, { name: 'b', type: { tensorType: { elemType: 7 } } }, { name: 'c' }],
    });
    expect(graph.inputs).toEqual([
      { name: 'a', elementType: 'FLOAT', dims: [0, '', undefined] },
      { name: 'b', elementType: 'INT64', dims: undefined },
      { name: 'c', elementType: undefined, dims: undefined },
    ]);
  });

  test('names that JavaScript objects have already do no harm', () => {
    const attribute = [{ name: '__proto__', type: onnx.AttributeProto.AttributeType.INT, i: 1 }];
    const graph = readGraph({ node: [{ opType: 'X', domain: 'ai.onnx', attribute }] });
    expect(Object.entries(graph.nodes[0]!.attributes)).toEqual([['__proto__', { kind: 'int', value: 1 }]]);
    expect(graph.nodes[0]!.domain, 'the two names of the default domain are one').toBe('');
  });
});

test('allNodes comes to the nodes of bodies', () => {
  expect([...allNodes(model.graph)].map(({ opType }) => opType)).toEqual(['Loop', 'Not']);
});

function readGraph(graph: onnxProto.onnx.IGraphProto): OnnxGraph {
  const read = decodeModel(onnx.ModelProto.encode({ graph }).finish(), 'm.onnx');
  if (!read.ok) expect.fail('could not be read');
  return read.value.graph;
}

function readTensor(tensor: onnxProto.onnx.ITensorProto) {
  return readGraph({ initializer: [{ name: 't', ...tensor }] }).initializers[0]!;
}

function bytesOf(array: { readonly buffer: ArrayBufferLike }): Uint8Array {
  return new Uint8Array(array.buffer);
}

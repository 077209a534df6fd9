import onnxProto from 'onnx-proto';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { InvariantError } from '../../ir/invariant.ts';
import {
  elementTypes,
  type OnnxAttribute,
  type OnnxElementType,
  type OnnxFunction,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  type OnnxTensorData,
  type OnnxValueInfo,
} from './onnx-model.ts';

// onnx-proto is CommonJS, and its schema ends at ONNX 1.10. What rtc writes from later versions fits in it: IR version
// and opset are numbers, `data_type` is an int32 on the wire, and the newer fields are optional ones rtc does without.
const { onnx } = onnxProto;
const { AttributeType } = onnx.AttributeProto;

type Int64 = onnxProto.onnx.IOperatorSetIdProto['version'];

/** No C++ protobuf reads a message that is larger. */
const largestMessage = 2 ** 31 - 1;

/**
 * The bytes of a model; the same model gives the same bytes.
 * Throws an `InvariantError` above `limit` bytes: weights are to be external, and nothing else is that large.
 */
export function encodeModel(model: OnnxModel, limit = largestMessage): Uint8Array {
  const inline = inlineBytes(model.graph);
  const refuse = (size: number): never => {
    throw new InvariantError(`the ONNX model takes ${size} bytes, but a protobuf message ends at ${limit}`);
  };
  // Asked before encoding, which takes the size several times over in memory.
  if (inline > limit) refuse(inline);
  const bytes = onnx.ModelProto.encode({
    irVersion: model.irVersion,
    opsetImport: model.opsets.map(({ domain, version }) => ({ domain, version })),
    producerName: model.producerName,
    producerVersion: model.producerVersion,
    ...(model.docString === '' ? {} : { docString: model.docString }),
    graph: graphToProto(model.graph),
    metadataProps: Object.entries(model.metadata).map(([key, value]) => ({ key, value })),
  }).finish();
  return bytes.length > limit ? refuse(bytes.length) : plainBytes(bytes);
}

/** The model in `bytes`; `file` is how the user calls it. Values that rtc does not know are read as `other`. */
export function decodeModel(bytes: Uint8Array, file: string): Result<OnnxModel> {
  try {
    const proto = onnx.ModelProto.decode(bytes);
    if (proto.graph) return success(modelFromProto(proto, proto.graph));
  } catch {
    // What protobufjs says ("index out of range: 4711 + 12 > 4720") helps nobody.
  }
  return failure({
    severity: 'error',
    code: 'invalid-onnx',
    location: { file },
    message: 'This is no ONNX model: its protobuf cannot be read, or has no graph.',
    hint: 'Is the file complete? Compile the model again.',
  });
}

function inlineBytes(graph: OnnxGraph): number {
  const ofTensor = ({ data }: OnnxTensor): number => (data.kind === 'inline' ? data.bytes.length : 0);
  let total = graph.initializers.reduce((sum, tensor) => sum + ofTensor(tensor), 0);
  for (const node of graph.nodes) {
    for (const attribute of Object.values(node.attributes)) {
      if (attribute.kind === 'tensor') total += ofTensor(attribute.value);
      if (attribute.kind === 'graph') total += inlineBytes(attribute.value);
    }
  }
  return total;
}

function graphToProto(graph: OnnxGraph): onnxProto.onnx.IGraphProto {
  return {
    node: graph.nodes.map(nodeToProto),
    name: graph.name,
    initializer: graph.initializers.map(tensorToProto),
    ...(graph.docString === '' ? {} : { docString: graph.docString }),
    input: graph.inputs.map(valueInfoToProto),
    output: graph.outputs.map(valueInfoToProto),
    valueInfo: graph.valueInfo.map(valueInfoToProto),
  };
}

function nodeToProto(node: OnnxNode): onnxProto.onnx.INodeProto {
  return {
    input: [...node.inputs],
    output: [...node.outputs],
    name: node.name,
    opType: node.opType,
    ...(node.domain === '' ? {} : { domain: node.domain }),
    attribute: Object.entries(node.attributes).map(([name, attribute]) => ({ name, ...attributeToProto(attribute) })),
  };
}

function attributeToProto(attribute: OnnxAttribute): onnxProto.onnx.IAttributeProto {
  switch (attribute.kind) {
    case 'int':
      return { type: AttributeType.INT, i: attribute.value };
    case 'float':
      return { type: AttributeType.FLOAT, f: attribute.value };
    case 'string':
      return { type: AttributeType.STRING, s: new TextEncoder().encode(attribute.value) };
    case 'ints':
      return { type: AttributeType.INTS, ints: [...attribute.value] };
    case 'floats':
      return { type: AttributeType.FLOATS, floats: [...attribute.value] };
    case 'strings':
      return { type: AttributeType.STRINGS, strings: attribute.value.map((s) => new TextEncoder().encode(s)) };
    case 'tensor':
      return { type: AttributeType.TENSOR, t: tensorToProto(attribute.value) };
    case 'graph':
      return { type: AttributeType.GRAPH, g: graphToProto(attribute.value) };
    case 'other':
      throw new InvariantError('an attribute of a kind that rtc does not write');
  }
}

function tensorToProto({ name, elementType, dims, data }: OnnxTensor): onnxProto.onnx.ITensorProto {
  const head = { dims: [...dims], dataType: elementTypes[elementType], name };
  if (data.kind === 'inline') return { ...head, rawData: data.bytes };
  const { location, offset, length } = data;
  return {
    ...head,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(length) },
    ],
    dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
  };
}

function valueInfoToProto({ name, elementType, dims }: OnnxValueInfo): onnxProto.onnx.IValueInfoProto {
  if (elementType === undefined) return { name };
  const shape = dims && {
    dim: dims.map((dim) => {
      if (dim === undefined) return {};
      return typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim };
    }),
  };
  return { name, type: { tensorType: { elemType: elementTypes[elementType], ...(shape ? { shape } : {}) } } };
}

function modelFromProto(proto: onnxProto.onnx.IModelProto, graph: onnxProto.onnx.IGraphProto): OnnxModel {
  return {
    irVersion: toNumber(proto.irVersion),
    opsets: (proto.opsetImport ?? []).map(({ domain, version }) => ({
      domain: domain ?? '',
      version: toNumber(version),
    })),
    producerName: proto.producerName ?? '',
    producerVersion: proto.producerVersion ?? '',
    docString: proto.docString ?? '',
    metadata: stringMap(proto.metadataProps),
    graph: graphFromProto(graph),
    ...(proto.functions?.length && { functions: proto.functions.map(functionFromProto) }),
  };
}

function functionFromProto(proto: onnxProto.onnx.IFunctionProto): OnnxFunction {
  return {
    name: proto.name ?? '',
    domain: proto.domain ?? '',
    inputs: proto.input ?? [],
    outputs: proto.output ?? [],
    nodes: (proto.node ?? []).map(nodeFromProto),
  };
}

function graphFromProto(proto: onnxProto.onnx.IGraphProto): OnnxGraph {
  return {
    name: proto.name ?? '',
    docString: proto.docString ?? '',
    nodes: (proto.node ?? []).map(nodeFromProto),
    initializers: (proto.initializer ?? []).map(tensorFromProto),
    inputs: (proto.input ?? []).map(valueInfoFromProto),
    outputs: (proto.output ?? []).map(valueInfoFromProto),
    valueInfo: (proto.valueInfo ?? []).map(valueInfoFromProto),
  };
}

function nodeFromProto(proto: onnxProto.onnx.INodeProto): OnnxNode {
  return {
    name: proto.name ?? '',
    opType: proto.opType ?? '',
    domain: proto.domain === 'ai.onnx' ? '' : (proto.domain ?? ''),
    inputs: proto.input ?? [],
    outputs: proto.output ?? [],
    attributes: nullPrototype((proto.attribute ?? []).map((a) => [a.name ?? '', attributeFromProto(a)])),
  };
}

function attributeFromProto(proto: onnxProto.onnx.IAttributeProto): OnnxAttribute {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  // The call of the function says what it is.
  if (proto.refAttrName) return { kind: 'other' };
  switch (proto.type) {
    case AttributeType.INT:
      return { kind: 'int', value: toNumber(proto.i) };
    case AttributeType.FLOAT:
      return { kind: 'float', value: proto.f ?? 0 };
    case AttributeType.STRING:
      return { kind: 'string', value: text(proto.s ?? new Uint8Array()) };
    case AttributeType.INTS:
      return { kind: 'ints', value: (proto.ints ?? []).map(toNumber) };
    case AttributeType.FLOATS:
      return { kind: 'floats', value: proto.floats ?? [] };
    case AttributeType.STRINGS:
      return { kind: 'strings', value: (proto.strings ?? []).map(text) };
    case AttributeType.TENSOR:
      return proto.t ? { kind: 'tensor', value: tensorFromProto(proto.t) } : { kind: 'other' };
    case AttributeType.GRAPH:
      return proto.g ? { kind: 'graph', value: graphFromProto(proto.g) } : { kind: 'other' };
    default:
      return { kind: 'other' };
  }
}

function tensorFromProto(proto: onnxProto.onnx.ITensorProto): OnnxTensor {
  const elementType = elementTypeOf(proto.dataType);
  return {
    name: proto.name ?? '',
    elementType,
    dims: (proto.dims ?? []).map(toNumber),
    data: tensorDataFromProto(proto, elementType),
  };
}

function tensorDataFromProto(proto: onnxProto.onnx.ITensorProto, elementType: OnnxElementType): OnnxTensorData {
  if (proto.dataLocation === onnx.TensorProto.DataLocation.EXTERNAL) {
    const { location = '', offset = '0', length, ...others } = stringMap(proto.externalData);
    const otherKeys = Object.keys(others);
    // The length may be left out; the tensor's own size says it then.
    return {
      kind: 'external',
      location,
      offset: Number(offset),
      length: length === undefined ? denseLength(proto, elementType) : Number(length),
      ...(otherKeys.length > 0 && { otherKeys }),
    };
  }
  return { kind: 'inline', bytes: inlineTensorBytes(proto, elementType) };
}

/** Bits of an element, for the types whose tensors rtc can size. */
const elementBits: Partial<Record<OnnxElementType, number>> = {
  FLOAT: 32,
  UINT8: 8,
  INT8: 8,
  UINT16: 16,
  INT16: 16,
  INT32: 32,
  INT64: 64,
  BOOL: 8,
  FLOAT16: 16,
  DOUBLE: 64,
  UINT32: 32,
  UINT64: 64,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 8,
  FLOAT8E4M3FNUZ: 8,
  FLOAT8E5M2: 8,
  FLOAT8E5M2FNUZ: 8,
  FLOAT8E8M0: 8,
  UINT4: 4,
  INT4: 4,
  FLOAT4E2M1: 4,
};

function denseLength(proto: onnxProto.onnx.ITensorProto, elementType: OnnxElementType): number {
  const count = (proto.dims ?? []).reduce<number>((product, dim) => product * toNumber(dim), 1);
  return Math.ceil((count * (elementBits[elementType] ?? 0)) / 8);
}

/** Other exporters write elements in one of five typed lists instead of `raw_data`; here they all become bytes. */
function inlineTensorBytes(proto: onnxProto.onnx.ITensorProto, elementType: OnnxElementType): Uint8Array {
  const raw = proto.rawData;
  if (raw && raw.length > 0) return plainBytes(raw);
  const { floatData, doubleData, int64Data, uint64Data, int32Data } = proto;
  if (floatData?.length) return toBytes(floatData, 4, (view, at, x) => view.setFloat32(at, x, true));
  if (doubleData?.length) return toBytes(doubleData, 8, (view, at, x) => view.setFloat64(at, x, true));
  if (int64Data?.length) return toBytes(int64Data, 8, (view, at, x) => view.setBigInt64(at, toBigInt(x), true));
  if (uint64Data?.length) {
    const size = elementType === 'UINT32' ? 4 : 8;
    return toBytes(uint64Data, size, (view, at, x) => {
      if (size === 4) view.setUint32(at, toNumber(x), true);
      else view.setBigUint64(at, BigInt.asUintN(64, toBigInt(x)), true);
    });
  }
  if (!int32Data?.length) return new Uint8Array();
  // One entry holds one element, except that 4-bit elements come two to an entry.
  const size = Math.max(8, elementBits[elementType] ?? 32) / 8;
  return toBytes(int32Data, size, (view, at, x) => {
    if (size === 1) view.setUint8(at, x & 0xff);
    else if (size === 2) view.setUint16(at, x & 0xffff, true);
    else view.setInt32(at, x, true);
  });
}

/** The same bytes, not as the Buffer that protobufjs makes where there is one, whose slice() means something else. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

function toBytes<T>(list: readonly T[], size: number, set: (view: DataView, at: number, x: T) => void): Uint8Array {
  const bytes = new Uint8Array(list.length * size);
  const view = new DataView(bytes.buffer);
  list.forEach((x, i) => {
    set(view, i * size, x);
  });
  return bytes;
}

function valueInfoFromProto({ name, type }: onnxProto.onnx.IValueInfoProto): OnnxValueInfo {
  const tensor = type?.tensorType;
  const dims = tensor?.shape?.dim?.map((dim) => {
    // An unset oneof reads as 0 and as '' from the prototype; only own properties were on the wire.
    if (Object.hasOwn(dim, 'dimValue')) return toNumber(dim.dimValue);
    return Object.hasOwn(dim, 'dimParam') ? (dim.dimParam ?? undefined) : undefined;
  });
  return {
    name: name ?? '',
    elementType: tensor ? elementTypeOf(tensor.elemType) : undefined,
    dims: tensor?.shape ? (dims ?? []) : undefined,
  };
}

function elementTypeOf(number: number | null | undefined): OnnxElementType {
  const found = Object.entries(elementTypes).find(([, wire]) => wire === number);
  return (found?.[0] ?? 'UNDEFINED') as OnnxElementType;
}

function stringMap(
  entries: readonly onnxProto.onnx.IStringStringEntryProto[] | null | undefined,
): Record<string, string> {
  return nullPrototype((entries ?? []).map(({ key, value }) => [key ?? '', value ?? '']));
}

/** A record that a key such as `__proto__` cannot harm. */
function nullPrototype<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  const record: Record<string, T> = Object.create(null);
  for (const [key, value] of entries) record[key] = value;
  return record;
}

/** protobufjs hands 64-bit integers over as Long objects. Every one that rtc looks at is a size or a version. */
function toNumber(value: Int64): number {
  return value === null || value === undefined ? 0 : Number(value);
}

function toBigInt(value: Exclude<Int64, null | undefined>): bigint {
  return BigInt(String(value));
}

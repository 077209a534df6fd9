/**
 * ONNX as plain objects. Only proto.ts knows how they become bytes; everything else, the lowering, the executor and
 * `rtc inspect`, works on these.
 */

/** Element types by ONNX's own names, with their numbers on the wire (TensorProto.DataType). */
export const elementTypes = {
  UNDEFINED: 0,
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  COMPLEX64: 14,
  COMPLEX128: 15,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 17,
  FLOAT8E4M3FNUZ: 18,
  FLOAT8E5M2: 19,
  FLOAT8E5M2FNUZ: 20,
  UINT4: 21,
  INT4: 22,
  FLOAT4E2M1: 23,
  FLOAT8E8M0: 24,
  UINT2: 25,
  INT2: 26,
} as const;

/** A type newer than this table is read as `UNDEFINED`. */
export type OnnxElementType = keyof typeof elementTypes;

export interface OnnxModel {
  readonly irVersion: number;
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly producerName: string;
  readonly producerVersion: string;
  readonly docString: string;
  /** In the order in which they are written. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly graph: OnnxGraph;
  /** Functions that a model of others brings along; rtc writes none. */
  readonly functions?: readonly OnnxFunction[];
}

/** Nodes that stand for one operator; its calls are nodes of that name. */
export interface OnnxFunction {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly OnnxNode[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly docString: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
  readonly valueInfo: readonly OnnxValueInfo[];
}

export interface OnnxNode {
  readonly name: string;
  readonly opType: string;
  /** Empty: ai.onnx. */
  readonly domain: string;
  /** An empty name stands for an optional input or output that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export type OnnxAttribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: OnnxTensor }
  | { readonly kind: 'graph'; readonly value: OnnxGraph }
  /** Something rtc never writes (sparse tensors, type protos, several graphs, what a call is given), met in a model of others. */
  | { readonly kind: 'other' };

export interface OnnxTensor {
  readonly name: string;
  readonly elementType: OnnxElementType;
  readonly dims: readonly number[];
  readonly data: OnnxTensorData;
}

export type OnnxTensorData =
  /** Little-endian, in C order; two 4-bit elements share a byte, the first in the low half. */
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  /** `length` bytes from `offset` of a file beside the model. */
  | {
      readonly kind: 'external';
      readonly location: string;
      readonly offset: number;
      readonly length: number;
      /** What a model of others says besides. */
      readonly otherKeys?: readonly string[];
    };

export interface OnnxValueInfo {
  readonly name: string;
  /** Undefined where a model of others leaves it open, or where the value is no dense tensor. */
  readonly elementType: OnnxElementType | undefined;
  /** Numbers, names, or nothing known about an axis; undefined: not even the rank is. */
  readonly dims: readonly (number | string | undefined)[] | undefined;
}

/** Every node of a graph, bodies of control flow included, outer before inner. */
export function* allNodes(graph: OnnxGraph): Generator<OnnxNode> {
  for (const node of graph.nodes) {
    yield node;
    for (const attribute of Object.values(node.attributes)) {
      if (attribute.kind === 'graph') yield* allNodes(attribute.value);
    }
  }
}

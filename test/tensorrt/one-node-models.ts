import { encodeTensor } from '../../ir/tensor-bytes.ts';
import { dtypeOf } from '../../targets/onnx/execute/dtype-of.ts';
import {
  elementTypes,
  type OnnxAttribute,
  type OnnxElementType,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValueInfo,
} from '../../targets/onnx/onnx-model.ts';

export const int = (value: number): OnnxAttribute => ({ kind: 'int', value });
export const ints = (...value: number[]): OnnxAttribute => ({ kind: 'ints', value });
export const float = (value: number): OnnxAttribute => ({ kind: 'float', value });
export const text = (value: string): OnnxAttribute => ({ kind: 'string', value });
export const texts = (...value: string[]): OnnxAttribute => ({ kind: 'strings', value });
export const type = (name: OnnxElementType): OnnxAttribute => ({ kind: 'int', value: elementTypes[name] });

/** An input: its type and sizes. */
export function input(elementType: OnnxElementType, ...dims: (number | string)[]): Omit<OnnxValueInfo, 'name'> {
  return { elementType, dims };
}

/** An initializer. */
export function constant(elementType: OnnxElementType, dims: readonly number[], ...values: number[]): OnnxTensor {
  const bytes = encodeTensor(dtypeOf(elementType)!, values);
  return { name: '', elementType, dims, data: { kind: 'inline', bytes } };
}

export type Given = Omit<OnnxValueInfo, 'name'> | OnnxTensor | undefined;

/** A node with what goes into it, by position: inputs `x0`, `x1` … or initializers `c0`, `c1` …; `undefined`: left out. */
export function oneNode(
  opType: string,
  given: readonly Given[],
  {
    attributes = {},
    outputs = 1,
    domain = '',
    opset = 24,
  }: {
    readonly attributes?: OnnxNode['attributes'];
    readonly outputs?: number;
    readonly domain?: string;
    readonly opset?: number;
  } = {},
): OnnxModel {
  const names = given.map((one, i) => (one === undefined ? '' : 'data' in one ? `c${i}` : `x${i}`));
  const made = Array.from({ length: outputs }, (_, i) => `y${i}`);
  const node = { name: 'the_node', opType, domain, inputs: names, outputs: made, attributes };
  return modelOf(
    graphOf({
      nodes: [node],
      inputs: given.flatMap((one, i) => (one && !('data' in one) ? [{ ...one, name: names[i]! }] : [])),
      initializers: given.flatMap((one, i) => (one && 'data' in one ? [{ ...one, name: names[i]! }] : [])),
      outputs: made.map((name) => ({ name, elementType: undefined, dims: undefined })),
    }),
    opset,
  );
}

/** A graph of parts; what is not said is not there. */
export function graphOf(parts: Partial<OnnxGraph>): OnnxGraph {
  return {
    name: 'tested',
    docString: '',
    nodes: [],
    initializers: [],
    inputs: [],
    outputs: [],
    valueInfo: [],
    ...parts,
  };
}

/** A node. */
export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: OnnxNode['attributes'] = {},
  domain = '',
): OnnxNode {
  return { name: `${opType}_${outputs[0]}`, opType, domain, inputs, outputs, attributes };
}

/** `x` of a type and sizes. */
export function info(
  name: string,
  elementType: OnnxElementType | undefined,
  ...dims: (number | string)[]
): OnnxValueInfo {
  return { name, elementType, dims };
}

export function modelOf(graph: OnnxGraph, opset = 24, functions?: OnnxModel['functions']): OnnxModel {
  return {
    irVersion: 11,
    opsets: [{ domain: '', version: opset }],
    producerName: 'test',
    producerVersion: '',
    docString: '',
    metadata: {},
    graph,
    ...(functions && { functions }),
  };
}

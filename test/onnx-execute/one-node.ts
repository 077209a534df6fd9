import * as ort from 'onnxruntime-node';
import { expect } from 'vitest';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { onnxTypes } from '../../targets/onnx/element-types.ts';
import { createOnnxExecutor } from '../../targets/onnx/execute/onnx-executor.ts';
import type { OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode } from '../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../targets/onnx/proto.ts';
import { fromOrt, toOrt } from '../onnx/run-onnx.ts';

/** A node and what goes into it. */
export interface NodeCase {
  readonly title?: string;
  readonly opType: string;
  /** Empty: ai.onnx. */
  readonly domain?: string;
  /** Version of ai.onnx; 21 if it is not said. */
  readonly opset?: number;
  /** Undefined: left out. */
  readonly inputs: readonly (Tensor | undefined)[];
  /** How many outputs there are, 1 if it is not said; false for one that is not wanted. */
  readonly outputs?: readonly boolean[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

export const int = (value: number): OnnxAttribute => ({ kind: 'int', value });
export const ints = (value: readonly number[]): OnnxAttribute => ({ kind: 'ints', value });
export const float = (value: number): OnnxAttribute => ({ kind: 'float', value });
export const string = (value: string): OnnxAttribute => ({ kind: 'string', value });

/** A model of one node, whose inputs `x0`, `x1` … are inputs of the model, and whose outputs are `y0`, `y1` …. */
export function modelOf({
  opType,
  domain = '',
  opset,
  inputs,
  outputs = [true],
  attributes = {},
}: NodeCase): OnnxModel {
  const node: OnnxNode = {
    name: 'the_node',
    opType,
    domain,
    inputs: inputs.map((x, i) => (x ? `x${i}` : '')),
    outputs: outputs.map((wanted, i) => (wanted ? `y${i}` : '')),
    attributes,
  };
  return wholeModel(
    {
      name: 'one',
      docString: '',
      nodes: [node],
      initializers: [],
      inputs: inputs.flatMap((x, i) => (x ? [{ name: `x${i}`, elementType: onnxTypes[x.dtype], dims: x.shape }] : [])),
      outputs: node.outputs.flatMap((name) => (name === '' ? [] : [{ name, elementType: undefined, dims: undefined }])),
      valueInfo: [],
    },
    opset,
  );
}

export function wholeModel(graph: OnnxGraph, opset = 21): OnnxModel {
  return {
    irVersion: opset > 21 ? 11 : 10,
    opsets: [
      { domain: '', version: opset },
      { domain: 'com.microsoft', version: 1 },
    ],
    producerName: 'test',
    producerVersion: '',
    docString: '',
    metadata: {},
    graph,
  };
}

export function feedsOf({ inputs }: NodeCase): ReadonlyMap<string, Tensor> {
  return new Map(inputs.flatMap((x, i) => (x ? [[`x${i}`, x] as const] : [])));
}

export async function runOurs(
  model: OnnxModel,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<ReadonlyMap<string, Tensor>> {
  const executor = createOnnxExecutor(encodeModel(model), () => expect.fail('nothing external here'));
  if (!executor.ok) expect.fail(JSON.stringify(executor.diagnostics));
  const result = await executor.value.run(feeds);
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  return result.value;
}

export async function runTheirs(
  model: OnnxModel,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<ReadonlyMap<string, Tensor>> {
  const session = await ort.InferenceSession.create(encodeModel(model), { intraOpNumThreads: 1, logSeverityLevel: 4 });
  try {
    const outputs = await session.run(Object.fromEntries([...feeds].map(([name, tensor]) => [name, toOrt(tensor)])));
    return new Map(Object.entries(outputs).map(([name, tensor]) => [name, fromOrt(tensor)]));
  } finally {
    await session.release();
  }
}

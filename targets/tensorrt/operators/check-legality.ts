import { type Result, success } from '../../../files/diagnostics.ts';
import type { OnnxModel } from '../../onnx/onnx-model.ts';
import { decodeModel } from '../../onnx/proto.ts';
import { formatVersion, type TensorrtVersion } from '../versions.ts';
import { checkRegion, lookUp, type Region } from './check-graph.ts';
import { checkInterface, checkOutputs } from './check-interface.ts';
import type { Check, IllegalNode } from './findings.ts';

export type { IllegalNode } from './findings.ts';

/**
 * What TensorRT's ONNX parser of a version refuses of a model, or reads as something else than ONNX means: operators,
 * their types and limits, domains, functions, names, external data. Nothing: every node is of an operator that the
 * version documents, with types that it documents for it. That an engine can be built is not said by that.
 *
 * Types are found by what the model declares and by propagation; where that does not tell a type, it is a finding.
 */
export function illegalNodes(model: OnnxModel, version: TensorrtVersion): readonly IllegalNode[] {
  const opset = model.opsets.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0;
  const check: Check = {
    version,
    parser: `TensorRT ${formatVersion(version)}`,
    opset,
    functions: new Map((model.functions ?? []).map((each) => [each.name, each])),
    found: [],
  };
  const { nodes, initializers, inputs, outputs, valueInfo } = model.graph;
  checkInterface(check, model);
  const region: Region = {
    known: new Map(
      inputs.map(({ name, elementType, dims }) => [name, { name, type: elementType, dims, constant: undefined }]),
    ),
    outer: undefined,
    depth: 0,
    path: '',
  };
  checkRegion(check, { nodes, initializers, declared: [...valueInfo, ...outputs], inOrder: false }, region);
  checkOutputs(check, model.graph, (name) => lookUp(region, name));
  return check.found;
}

/**
 * {@link illegalNodes} of an .onnx file.
 * @param file how the user calls it
 */
export function illegalInFile(
  bytes: Uint8Array,
  version: TensorrtVersion,
  file = 'model.onnx',
): Result<readonly IllegalNode[]> {
  const model = decodeModel(bytes, file);
  return model.ok ? success(illegalNodes(model.value, version)) : model;
}

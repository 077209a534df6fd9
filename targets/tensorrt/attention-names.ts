import { invariant } from '../../ir/invariant.ts';
import { allNodes, type OnnxModel } from '../onnx/onnx-model.ts';
import { decodeModel } from '../onnx/proto.ts';

/**
 * Names of a model's Attention nodes, in order: TensorRT breaks up those that it is told to, and fuses the others or fails.
 * @param model as an object, or the bytes of a file that rtc wrote
 */
export function attentionNames(model: Pick<OnnxModel, 'graph'> | Uint8Array): readonly string[] {
  const { graph } = model instanceof Uint8Array ? decoded(model) : model;
  return [...allNodes(graph)].flatMap(({ opType, domain, name }) =>
    opType === 'Attention' && domain === '' ? [name] : [],
  );
}

function decoded(bytes: Uint8Array): OnnxModel {
  const model = decodeModel(bytes, '');
  invariant(model.ok, 'a model that cannot be read');
  return model.value;
}

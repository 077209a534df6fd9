import { allNodes, type OnnxModel } from '../onnx/onnx-model.ts';

/** Names of a model's Attention nodes, in order: TensorRT may break up those that it is told to, and fuses the others or fails. */
export function attentionNames({ graph }: Pick<OnnxModel, 'graph'>): readonly string[] {
  return [...allNodes(graph)].flatMap(({ opType, domain, name }) =>
    opType === 'Attention' && domain === '' ? [name] : [],
  );
}

import { allNodes, type OnnxNode } from '../../onnx/onnx-model.ts';
import { decodeModel } from '../../onnx/proto.ts';

/**
 * Says in rtc's words what a node of a graph is: `MatMul in block, layer 0, self_attn`.
 * @param number its index in the graph, or -1
 * @param opType its operator, or empty
 * @param name of its first output, as TensorRT's parser names nodes; the node's own name is understood, too
 * @returns undefined for a node that is not in the graph
 */
export type DescribeNode = (number: number, opType: string, name: string) => string | undefined;

/**
 * Describes nodes of the .onnx file with these bytes by the scopes that rtc puts into names. They are read when the first
 * node is asked for; of bytes that are no model, no node is known.
 */
export function nodeDescriber(bytes: Uint8Array): DescribeNode {
  let byName: ReadonlyMap<string, OnnxNode> | undefined;
  let inOrder: readonly OnnxNode[] = [];
  return (number, opType, name) => {
    if (byName === undefined) {
      const decoded = decodeModel(bytes, '');
      inOrder = decoded.ok ? decoded.value.graph.nodes : [];
      const all = decoded.ok ? [...allNodes(decoded.value.graph)] : [];
      // Outputs last: should a node be called like another one's output, TensorRT speaks of outputs.
      byName = new Map([
        ...all.map((node) => [node.name, node] as const),
        ...all.flatMap((node) => node.outputs.map((output) => [output, node] as const)),
      ]);
    }
    const counted = inOrder[number];
    const node = (name === '' ? undefined : byName.get(name)) ?? (counted?.opType === opType ? counted : undefined);
    if (node === undefined) return undefined;
    const place = scopeOf(node);
    return `${node.opType} in ${place === '' ? 'the graph' : place} (node "${node.name}")`;
  };
}

/** `/block/layer.0/self_attn/q_proj/Gemm_2` is in `block, layer 0, self_attn.q_proj`. */
function scopeOf({ name }: OnnxNode): string {
  const steps = name.split('/').slice(1, -1);
  const words: string[] = [];
  const modules: string[] = [];
  for (const step of steps) {
    const [, kind, index] = /^(depth|layer)\.(\d+)$/.exec(step) ?? [];
    if (kind === 'depth') words.push(`loop ${Number(index) + 1} (depth ${index})`);
    else if (kind === 'layer') words.push(`layer ${index}`);
    else if (/^(?:prelude|block|coda|head)$/.test(step)) words.push(step);
    else modules.push(step === 'size' ? 'sizes of inputs' : step);
  }
  return [...words, ...(modules.length === 0 ? [] : [modules.join('.')])].join(', ');
}

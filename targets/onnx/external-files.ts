import type { OnnxGraph, OnnxTensor } from './onnx-model.ts';

/** Files that a graph's tensors are in besides its own, as the graph calls them: each once, in the order of UTF-16 units. */
export function externalFiles(graph: OnnxGraph): readonly string[] {
  return [...new Set(locations(graph))].sort();
}

function* locations(graph: OnnxGraph): Generator<string> {
  const locationOf = ({ data }: OnnxTensor) => (data.kind === 'external' ? [data.location] : []);
  yield* graph.initializers.flatMap(locationOf);
  for (const node of graph.nodes) {
    for (const attribute of Object.values(node.attributes)) {
      if (attribute.kind === 'tensor') yield* locationOf(attribute.value);
      if (attribute.kind === 'graph') yield* locations(attribute.value);
    }
  }
}

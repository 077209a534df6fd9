import { type Result, success } from '../../files/diagnostics.ts';
import { findLoop } from '../../passes/fold-loop/find-loop.ts';
import { buildGraph } from '../architectures/build-graph.ts';
import { usesOf } from '../architectures/layer-places.ts';
import { modelSizes } from '../package/model-sizes.ts';
import { readModel } from '../read/read-model.ts';
import type { SourceModel, SourceTensor } from '../read/source-model.ts';
import type { LoraInspection, ModelInspection, StoredAndUnrolled } from './inspection.ts';

/** Reads and checks a model, builds its graph, and looks for the loop in it. */
export async function inspectModel(
  path: string,
  options: { readonly signal?: AbortSignal },
): Promise<Result<ModelInspection>> {
  const read = await readModel(path, options);
  if (!read.ok) return read;
  const model = read.value;
  const graph = buildGraph(model);
  const { modelType, hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabSize, maxPositions, tiedEmbeddings } =
    model.spec;
  const inspection: ModelInspection = {
    kind: 'model',
    name: model.name,
    architecture: {
      modelType,
      hiddenSize,
      intermediateSize,
      heads,
      kvHeads,
      headDim,
      vocabSize,
      maxPositions,
      tiedEmbeddings,
    },
    recursion: model.recursion,
    lora: inspectLora(model),
    exits: model.exits,
    loop: findLoop(graph),
    parameters: parameters(model),
    sizes: modelSizes(model),
    files: model.files.map(({ path: file, size, tensors }) => ({ path: file, bytes: size, tensors: tensors.size })),
    types: bytesByType([...model.tensors.values()]),
    inputs: graph.inputs.map(({ name, type }) => ({ name, type: type.dtype, dims: type.dims })),
    outputs: graph.outputs.map(({ name, value }) => ({ name, type: value.type.dtype, dims: value.type.dims })),
  };
  return success(inspection, read.diagnostics);
}

function inspectLora({ lora, recursion, tensors }: SourceModel): LoraInspection | undefined {
  if (lora === undefined) return undefined;
  const depths = Math.max(...usesOf(recursion).values());
  const ranks = Array.from({ length: depths }, () => new Set<number>());
  for (const { name, shape } of tensors.values()) {
    const depth = /\.lora_A\.depth_(\d+)\.weight$/.exec(name)?.[1];
    if (depth !== undefined) ranks[Number(depth)]?.add(shape[0]!);
  }
  return {
    targets: lora.targets,
    alpha: lora.alpha,
    ranks: ranks.map((found) => [...found].sort((a, b) => a - b)),
  };
}

/** Numbers instead of bytes: each tensor counted as often as its bytes are. */
function parameters(model: SourceModel): StoredAndUnrolled {
  const elements = new Map(
    [...model.tensors].map(([name, tensor]) => [name, { ...tensor, length: count(tensor.shape) }]),
  );
  const sizes = Object.values(modelSizes({ ...model, tensors: elements }));
  return {
    stored: sizes.reduce((sum, { stored }) => sum + stored, 0),
    unrolled: sizes.reduce((sum, { unrolled }) => sum + unrolled, 0),
  };
}

function bytesByType(tensors: readonly SourceTensor[]): ModelInspection['types'] {
  const bytes = new Map<string, number>();
  for (const { dtype, length } of tensors) bytes.set(dtype, (bytes.get(dtype) ?? 0) + length);
  return [...bytes].map(([type, sum]) => ({ type, bytes: sum })).sort((a, b) => b.bytes - a.bytes);
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

import type { GraphTensor, PackageManifest } from '../../files/manifest.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import type { SourceModel } from '../read/source-model.ts';
import { modelSizes } from './model-sizes.ts';

/** What rtc.json says beside the model and the files. */
export interface PackageFacts extends Pick<PackageManifest, 'form' | 'target' | 'dialect' | 'precision' | 'passes'> {
  /** rtc's version. */
  readonly rtc: string;
  /** Undefined for a model without LoRA. */
  readonly loraStrategy: 'bake' | 'keep' | 'concatenate' | undefined;
  /** The graph that was lowered: its inputs and outputs are those of the .onnx. */
  readonly graph: Graph;
}

/** rtc.json of a package, but for its files and places in it. */
export function describePackage(
  model: SourceModel,
  { rtc, form, target, dialect, precision, passes, loraStrategy, graph }: PackageFacts,
): Omit<PackageManifest, 'layout' | 'graphs' | 'files' | 'source'> {
  const { recursion, lora, exits, spec } = model;
  return {
    format: 'rtc-package',
    version: 1,
    rtc,
    name: model.name,
    form,
    target,
    dialect,
    precision,
    recursion: { ...recursion },
    ...(lora &&
      loraStrategy && {
        lora: {
          targets: [...lora.targets],
          strategy: loraStrategy,
          ...(lora.alpha === undefined ? {} : { alpha: lora.alpha }),
        },
      }),
    ...(exits && {
      exits: {
        after: [...exits.after],
        confidence: exits.confidence,
        threshold: exits.threshold,
        logits: graph.outputs.some(({ name }) => name.startsWith('exit_logits.')),
      },
    }),
    cache: {
      dtype: graph.inputs.find(({ name }) => name.startsWith('past_key_values.'))?.type.dtype ?? precision.compute,
      heads: spec.kvHeads,
      headDim: spec.headDim,
      layers: cacheLayers(model, form),
    },
    config: model.config,
    passes: [...passes],
    sizes: modelSizes(model),
  };
}

/** Inputs and outputs of a graph, as rtc.json lists them. */
export function describeInterface(graph: Graph): PackageManifest['graphs'][string] {
  const describe = (name: string, { type }: Value): GraphTensor => ({
    name,
    dtype: type.dtype,
    dims: type.dims.map((dim) => dim),
  });
  return {
    inputs: graph.inputs.map((input) => describe(input.name, input)),
    outputs: graph.outputs.map(({ name, value }) => describe(name, value)),
  };
}

/** Which layer each past_key_values.{i} belongs to: layers that run in the unrolled form, else layers that are stored. */
function cacheLayers({ recursion }: SourceModel, form: PackageManifest['form']): PackageManifest['cache']['layers'] {
  const { prelude, block, loops, coda } = recursion;
  const layers = (part: 'prelude' | 'block' | 'coda', first: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ part, layer: first + i }));
  const shared = layers('block', prelude, block);
  return [
    ...layers('prelude', 0, prelude),
    ...(form === 'unrolled'
      ? Array.from({ length: loops }, (_, depth) => shared.map((layer) => ({ ...layer, depth }))).flat()
      : shared.map((layer) => ({ ...layer, loops }))),
    ...layers('coda', prelude + block, coda),
  ];
}

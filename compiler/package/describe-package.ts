import type { GraphTensor, PackageManifest, TensorrtFacts } from '../../files/manifest.ts';
import { cacheLayersOf } from '../../files/package-interface.ts';
import { asOneBlock, type RunOrder } from '../../files/run-order.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import type { SourceModel } from '../read/source-model.ts';
import { modelSizes } from './model-sizes.ts';

/** What rtc.json says beside the model and the files. */
export interface PackageFacts extends Pick<PackageManifest, 'form' | 'target' | 'dialect' | 'precision' | 'passes'> {
  /** rtc's version. */
  readonly rtc: string;
  /** Undefined for a model without LoRA. */
  readonly loraStrategy: NonNullable<PackageManifest['lora']>['strategy'] | undefined;
  /** The graphs that were lowered, the main one first: their inputs and outputs are those of the .onnx files. */
  readonly graphs: readonly Graph[];
  /** What the form depth-batched has in addition. */
  readonly pages?: { readonly pageSize: number; readonly groups: number } | undefined;
  /** Engines that graphs are meant for; none of them is built yet. */
  readonly tensorrt?: TensorrtFacts | undefined;
}

/** rtc.json of a package, but for its files and places in it. */
export function describePackage(
  model: SourceModel,
  { rtc, form, target, dialect, precision, passes, loraStrategy, graphs, pages, tensorrt }: PackageFacts,
): Omit<PackageManifest, 'layout' | 'graphs' | 'files' | 'source'> {
  const { lora, exits, spec } = model;
  const recursion = recursionOf(model, form);
  const { layers, ...rest } = recursion;
  const graph = graphs[0]!;
  return {
    format: 'rtc-package',
    version: 1,
    rtc,
    name: model.name,
    form,
    target,
    dialect,
    precision,
    recursion: { ...rest, ...(layers && { layers: [...layers] }) },
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
      dtype:
        graph.inputs.find(({ name }) => /^(past_key_values|key_pages)\./.test(name))?.type.dtype ?? precision.compute,
      heads: spec.kvHeads,
      headDim: spec.headDim,
      layers: [...cacheLayersOf({ form, recursion: rest })],
      ...pages,
    },
    ...(tensorrt && { tensorrt, plans: [] }),
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

/** How layers run; where there is nothing to repeat, a step runs them all as one block. */
function recursionOf({ recursion }: SourceModel, form: PackageManifest['form']): RunOrder {
  const { prelude, block, loops, coda, layers } = recursion;
  const order = { prelude, block, loops, coda, ...(layers && { layers }) };
  return form === 'depth-batched' && loops === 1 ? asOneBlock(order) : order;
}

import type { LayerUse, SharedLayers } from '../../convert/sharing.ts';
import { invariant } from '../../ir/invariant.ts';
import { expectedTensors, linearModules } from '../read/expected-tensors.ts';
import type { SourceModel, SourceTensor } from '../read/source-model.ts';
import type { ConvertedDType } from './convert-options.ts';

/** A tensor of the converted model that is made of tensors of the original: their mean, or a copy of the only one. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: ConvertedDType;
  readonly shape: readonly number[];
  readonly sources: readonly SourceTensor[];
  /** Whether it is of a layer, which parameter counts of the papers mean; else of embeddings, final norm or head. */
  readonly ofLayer: boolean;
}

/** A linear module at a layer of the original, and what the converted model has for it. */
export interface PlannedMatrix {
  readonly layer: number;
  readonly use: LayerUse;
  readonly module: string;
  readonly rows: number;
  readonly cols: number;
  readonly source: SourceTensor;
  /** What runs in its place. */
  readonly shared: StoredTensor;
}

export interface PlannedTensors {
  /** Embedding, layers in order, final norm and head; no factors. */
  readonly stored: readonly StoredTensor[];
  /** By layer of the original, modules in the order in which they run. */
  readonly matrices: readonly PlannedMatrix[];
}

/** Decides what every tensor of the converted model is made of; factors follow when ranks are known. */
export function planTensors(
  model: SourceModel,
  shared: SharedLayers,
  origins: readonly (readonly number[])[],
  { norms, dtype }: { readonly norms: 'shared' | 'per-depth'; readonly dtype: ConvertedDType | undefined },
): PlannedTensors {
  const { spec, tensors } = model;
  const source = (name: string): SourceTensor => {
    const found = tensors.get(name);
    invariant(found, `no tensor "${name}" in a model that was checked`);
    return found;
  };
  const make = (name: string, sources: readonly SourceTensor[], ofLayer: boolean): StoredTensor => {
    return { name, dtype: dtype ?? widest(sources), shape: sources[0]!.shape, sources, ofLayer };
  };
  const prefix = `${spec.names.layers}.`;
  const names = [...expectedTensors(spec, model.recursion, undefined).keys()];
  const inLayer = names.flatMap((name) => (name.startsWith(`${prefix}0.`) ? [name.slice(prefix.length + 2)] : []));
  const modules = linearModules(spec);
  const isNorm = (path: string) => !modules.some((module) => path.startsWith(`${module.path}.`));
  const layers = origins.flatMap((layersOfStored, stored) => {
    const uses = shared.uses.flatMap((use, layer) => (use.stored === stored ? [{ ...use, layer }] : []));
    return inLayer.flatMap((path) => {
      const name = `${prefix}${stored}.${path}`;
      if (norms === 'per-depth' && isNorm(path) && uses[0]!.depth !== undefined) {
        return uses.map(({ depth, layer }) => make(atDepth(name, depth!), [source(`${prefix}${layer}.${path}`)], true));
      }
      return [
        make(
          name,
          layersOfStored.map((layer) => source(`${prefix}${layer}.${path}`)),
          true,
        ),
      ];
    });
  });
  const outside = (before: boolean) => {
    const first = names.findIndex((name) => name.startsWith(prefix));
    const others = names.filter((name, i) => !name.startsWith(prefix) && i < first === before);
    return others.map((name) => make(name, [source(name)], false));
  };
  const byName = new Map(layers.map((tensor) => [tensor.name, tensor]));
  const matrices = shared.uses.flatMap((use, layer) =>
    modules.map(({ path, out, in: cols }): PlannedMatrix => {
      const runs = byName.get(`${prefix}${use.stored}.${path}.weight`)!;
      const weight = source(`${prefix}${layer}.${path}.weight`);
      return { layer, use, module: path, rows: out, cols, source: weight, shared: runs };
    }),
  );
  return { stored: [...outside(true), ...layers, ...outside(false)], matrices };
}

/** `….input_layernorm.depth_1.weight` for `….input_layernorm.weight`. */
function atDepth(name: string, depth: number): string {
  return name.replace(/\.([^.]+)$/, `.depth_${depth}.$1`);
}

/** The type that holds them all. */
function widest(sources: readonly SourceTensor[]): ConvertedDType {
  const types = new Set(sources.map(({ dtype }) => dtype));
  const [only] = types;
  return types.size === 1 && (only === 'f16' || only === 'bf16') ? only : 'f32';
}

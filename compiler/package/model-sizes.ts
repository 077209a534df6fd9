import type { PackageManifest, SizeCategory } from '../../files/manifest.ts';
import { usesOf, varyingLayers } from '../architectures/layer-places.ts';
import type { SourceModel, SourceTensor } from '../read/source-model.ts';

/** Bytes of the checkpoint by what they are for, and what they would be if every loop had weights of its own. */
export function modelSizes(model: SourceModel): PackageManifest['sizes'] {
  const sums = new Map<SizeCategory, { readonly stored: number; readonly unrolled: number }>();
  const uses = usesOf(model.recursion);
  for (const tensor of model.tensors.values()) {
    const category = categoryOf(model, tensor);
    const { stored, unrolled } = sums.get(category) ?? none;
    // Factors and norms of one depth are used there alone.
    const times = category === 'block' && !ownNorm.test(tensor.name) ? (uses.get(layerOf(model, tensor)!) ?? 1) : 1;
    sums.set(category, { stored: stored + tensor.length, unrolled: unrolled + tensor.length * times });
  }
  const sizes = (category: SizeCategory) => ({ ...(sums.get(category) ?? none) });
  return {
    block: sizes('block'),
    prelude: sizes('prelude'),
    coda: sizes('coda'),
    lora: sizes('lora'),
    embeddings: sizes('embeddings'),
    head: sizes('head'),
    // Final norm and head are shared with the last loop, and confidence has no weights.
    exits: sizes('exits'),
    other: sizes('other'),
  };
}

const none = { stored: 0, unrolled: 0 };

/** A norm that a layer of the block has at one depth. */
const ownNorm = /\.depth_\d+\.(weight|bias)$/;

/** The stored layer that a tensor is of. */
function layerOf({ spec: { names } }: SourceModel, { name }: SourceTensor): number | undefined {
  if (!name.startsWith(`${names.layers}.`)) return undefined;
  return Number(name.slice(names.layers.length + 1).split('.')[0]);
}

function categoryOf(model: SourceModel, tensor: SourceTensor): SizeCategory {
  const { names, storedLayers } = model.spec;
  const { name } = tensor;
  const of = (module: string) => name.startsWith(`${module}.`);
  const layer = layerOf(model, tensor);
  if (layer !== undefined) {
    if (!(layer < storedLayers)) return 'other';
    if (/\.lora_[AB]\./.test(name)) return 'lora';
    const [first, end] = varyingLayers(model.recursion);
    if (layer < first) return 'prelude';
    return layer < end ? 'block' : 'coda';
  }
  if (of(names.embedding)) return 'embeddings';
  return of(names.head) || of(names.finalNorm) ? 'head' : 'other';
}

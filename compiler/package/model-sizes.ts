import type { PackageManifest, SizeCategory } from '../../files/manifest.ts';
import type { SourceModel, SourceTensor } from '../read/source-model.ts';

/** Bytes of the checkpoint by what they are for, and what they would be if every loop had weights of its own. */
export function modelSizes(model: SourceModel): PackageManifest['sizes'] {
  const stored = new Map<SizeCategory, number>();
  for (const tensor of model.tensors.values()) {
    const category = categoryOf(model, tensor);
    stored.set(category, (stored.get(category) ?? 0) + tensor.length);
  }
  const sizes = (category: SizeCategory) => {
    const bytes = stored.get(category) ?? 0;
    return { stored: bytes, unrolled: category === 'block' ? bytes * model.recursion.loops : bytes };
  };
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

function categoryOf({ spec, recursion }: SourceModel, { name }: SourceTensor): SizeCategory {
  const { names, storedLayers } = spec;
  const of = (module: string) => name.startsWith(`${module}.`);
  if (of(names.layers)) {
    const layer = Number(name.slice(names.layers.length + 1).split('.')[0]);
    if (!(layer < storedLayers)) return 'other';
    if (/\.lora_[AB]\./.test(name)) return 'lora';
    if (layer < recursion.prelude) return 'prelude';
    return layer < recursion.prelude + recursion.block ? 'block' : 'coda';
  }
  if (of(names.embedding)) return 'embeddings';
  return of(names.head) || of(names.finalNorm) ? 'head' : 'other';
}

import type { PackageManifest } from '../../../files/manifest.ts';

/**
 * Of the bytes of weights that a step of one row reads, the share that its head reads: the vocabulary's matrix, which is
 * the embedding where the two are tied. Prelude and coda are in every step of an engine, whose lists are never empty.
 */
export function headShare({ sizes, config }: Pick<PackageManifest, 'sizes' | 'config'>): number {
  const { block, prelude, coda, lora, embeddings, head } = sizes;
  const tied = config.tie_word_embeddings === true;
  const vocabulary = head.stored + (tied ? embeddings.stored : 0);
  return vocabulary / (vocabulary + block.stored + prelude.stored + coda.stored + lora.stored);
}

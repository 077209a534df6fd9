import type { DecoderSpec } from '../../architectures/decoder-spec.ts';
import { linearModules } from '../../read/expected-tensors.ts';

/** A model that Relaxed Recursive Transformers (arXiv 2410.20672 v3) converts, and the sizes that it prints. */
export interface PaperModel {
  readonly name: string;
  /** Non-embedding parameters in billions, as Table 1 prints them. */
  readonly full: string;
  /** By loops, then by rank; rank 0: without factors. */
  readonly sizes: Readonly<Record<number, Readonly<Record<number, string>>>>;
}

const papers: readonly (PaperModel & { readonly shape: string })[] = [
  {
    name: 'Gemma 2B',
    full: '1.98',
    sizes: {
      2: { 0: '0.99', 64: '1.07', 128: '1.15', 256: '1.30', 512: '1.60' },
      3: { 0: '0.66', 64: '0.74', 128: '0.82', 256: '0.97', 512: '1.27' },
    },
    shape: 'gemma 18×2048: 2048, 256, 256, 2048, 16384, 16384, 2048',
  },
  {
    name: 'TinyLlama 1.1B',
    full: '0.97',
    sizes: { 2: { 0: '0.48', 64: '0.53', 128: '0.58', 256: '0.68', 512: '0.86' } },
    shape: 'llama 22×2048: 2048, 256, 256, 2048, 5632, 5632, 2048',
  },
  {
    name: 'Pythia 1B',
    full: '0.81',
    sizes: { 2: { 0: '0.40', 64: '0.44', 128: '0.48', 256: '0.55', 512: '0.70' } },
    shape: 'gpt_neox 16×2048: 6144, 2048, 8192, 2048',
  },
];

/** The paper's model that has this shape: architecture, layers, and the sizes of all linear modules. */
export function paperModel(spec: DecoderSpec): PaperModel | undefined {
  const outs = linearModules(spec).map(({ out }) => out);
  const shape = `${spec.modelType} ${spec.storedLayers}×${spec.hiddenSize}: ${outs.join(', ')}`;
  return papers.find((paper) => paper.shape === shape);
}

/**
 * A size as the paper's tables print it, in billions: stored layers and factors are rounded to two digits each and added
 * then, so that 0.4845 + 0.2019 is 0.68.
 */
export function printedSize({ storedLayers, lora }: { readonly storedLayers: number; readonly lora: number }): string {
  const hundredths = (parameters: number) => Math.round(parameters / 1e7);
  return ((hundredths(storedLayers) + hundredths(lora)) / 100).toFixed(2);
}

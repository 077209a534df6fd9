import type { PaperModel } from './table-k1.ts';

/** Shape of a layer, as the paper's Table 1 and the models' own configurations have it. */
interface LayerShape {
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly mlp: number;
  /** Matrices of the MLP: gate, up and down, or up and down. */
  readonly mlpMatrices: 2 | 3;
}

export const modelShapes: Readonly<Record<PaperModel, LayerShape>> = {
  Gemma: { hidden: 2048, heads: 8, kvHeads: 1, headDim: 256, mlp: 16_384, mlpMatrices: 3 },
  TinyLlama: { hidden: 2048, heads: 32, kvHeads: 4, headDim: 64, mlp: 5632, mlpMatrices: 3 },
  Pythia: { hidden: 2048, heads: 8, kvHeads: 8, headDim: 256, mlp: 8192, mlpMatrices: 2 },
};

/** Share of a layer's weights that make keys and values: what has to be read to fill them in for a loop that was skipped. */
export function keyValueShare({ hidden, heads, kvHeads, headDim, mlp, mlpMatrices }: LayerShape): number {
  const keysAndValues = 2 * hidden * kvHeads * headDim;
  const queriesAndOutput = 2 * hidden * heads * headDim;
  return keysAndValues / (keysAndValues + queriesAndOutput + mlpMatrices * hidden * mlp);
}

import type { PaperModel } from './table-k1.ts';

/**
 * Tokens per second on SlimPajama of Table K.2 of the same paper, its own simulation: exits by an oracle, times of the
 * block alone.
 */
export interface PaperRate {
  readonly model: PaperModel;
  readonly loops: number;
  readonly rank: number;
  /** Weight of the loss of earlier exits in training; 0 where there are none. */
  readonly coefficient: number;
  readonly tokensPerSecond: number;
}

/** Continuous sequence-wise batching of the models as they were. */
export const sequenceWiseRates: readonly PaperRate[] = [
  rate('Gemma', 1, 0, 0, 1622),
  rate('TinyLlama', 1, 0, 0, 1227),
  rate('Pythia', 1, 0, 0, 829),
];

/** Batches that start and end together. */
export const vanillaRates: readonly PaperRate[] = [
  rate('Gemma', 1, 0, 0, 655),
  rate('TinyLlama', 1, 0, 0, 1205),
  rate('Pythia', 1, 0, 0, 702),
];

/** Continuous depth-wise batching of the recursive models. */
export const depthWiseRates: readonly PaperRate[] = [
  rate('Gemma', 2, 0, 0.1, 3159),
  rate('Gemma', 2, 64, 0.1, 2357),
  rate('Gemma', 2, 128, 0.1, 2355),
  rate('Gemma', 2, 256, 0.1, 2047),
  rate('Gemma', 2, 512, 0.1, 1806),
  rate('Gemma', 2, 64, 0.3, 2454),
  rate('Gemma', 2, 128, 0.3, 2445),
  rate('Gemma', 2, 256, 0.3, 2123),
  rate('Gemma', 2, 512, 0.3, 1870),
  rate('Gemma', 3, 0, 0.1, 3120),
  rate('Gemma', 3, 64, 0.1, 2334),
  rate('Gemma', 3, 128, 0.1, 2290),
  rate('Gemma', 3, 256, 0.1, 2281),
  rate('Gemma', 3, 512, 0.1, 2181),
  rate('Gemma', 3, 64, 0.3, 2427),
  rate('Gemma', 3, 128, 0.3, 2376),
  rate('Gemma', 3, 256, 0.3, 2359),
  rate('Gemma', 3, 512, 0.3, 2251),
  rate('TinyLlama', 2, 0, 0.1, 2038),
  rate('TinyLlama', 2, 64, 0.1, 1733),
  rate('TinyLlama', 2, 128, 0.1, 1733),
  rate('TinyLlama', 2, 256, 0.1, 1728),
  rate('TinyLlama', 2, 512, 0.1, 1716),
  rate('TinyLlama', 2, 64, 0.3, 1810),
  rate('TinyLlama', 2, 128, 0.3, 1802),
  rate('TinyLlama', 2, 256, 0.3, 1793),
  rate('TinyLlama', 2, 512, 0.3, 1778),
  rate('Pythia', 2, 0, 0.1, 1339),
  rate('Pythia', 2, 64, 0.1, 1205),
  rate('Pythia', 2, 128, 0.1, 1156),
  rate('Pythia', 2, 256, 0.1, 1138),
  rate('Pythia', 2, 512, 0.1, 1051),
  rate('Pythia', 2, 64, 0.3, 1254),
  rate('Pythia', 2, 128, 0.3, 1200),
  rate('Pythia', 2, 256, 0.3, 1180),
  rate('Pythia', 2, 512, 0.3, 1088),
];

function rate(model: PaperModel, loops: number, rank: number, coefficient: number, tokensPerSecond: number): PaperRate {
  return { model, loops, rank, coefficient, tokensPerSecond };
}

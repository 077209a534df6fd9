/**
 * Numbers of "Relaxed Recursive Transformers: Effective Parameter Sharing with Layer-wise LoRA" (Bae, Fisch, Harutyunyan,
 * Ji, Kim, Schuster; arXiv 2410.20672 v3), Table K.1: one A100 40GB, prompts of 512 tokens, 2048 new ones.
 */
export interface ComponentTimes {
  readonly model: PaperModel;
  /** 1: the model as it was, not recursive. */
  readonly loops: number;
  /** Of the LoRA; 0: none. */
  readonly rank: number;
  readonly maxBatch: number;
  /** Milliseconds per token at the largest batch. `transformer` is one loop of the block. */
  readonly total: number;
  readonly embedding: number;
  readonly transformer: number;
  readonly head: number;
  /** Milliseconds per token at batch 1. */
  readonly alone: { readonly total: number; readonly transformer: number };
  /** Set where a number contradicts its neighbours. */
  readonly misprint?: string;
}

export type PaperModel = 'Gemma' | 'TinyLlama' | 'Pythia';

type Row = readonly [
  PaperModel,
  ...(readonly [number, number, number, number, number, number, number, number, number]),
];

// model, loops, rank, largest batch, total, embedding, transformer, head, alone: total, transformer
const rows: readonly Row[] = [
  ['Gemma', 1, 0, 43, 0.657, 0.002, 0.616, 0.023, 22.994, 21.344],
  ['Gemma', 2, 0, 43, 0.336, 0.002, 0.265, 0.023, 13.918, 11.059],
  ['Gemma', 2, 64, 41, 0.398, 0.002, 0.323, 0.024, 15.858, 13.096],
  ['Gemma', 2, 128, 41, 0.398, 0.002, 0.324, 0.024, 15.708, 12.969],
  ['Gemma', 2, 256, 39, 0.45, 0.002, 0.372, 0.025, 15.456, 12.721],
  ['Gemma', 2, 512, 39, 0.499, 0.002, 0.422, 0.025, 15.489, 12.775],
  ['Gemma', 3, 0, 43, 0.263, 0.002, 0.182, 0.023, 10.546, 7.394],
  ['Gemma', 3, 64, 43, 0.306, 0.002, 0.182, 0.023, 11.871, 8.724],
  ['Gemma', 3, 128, 43, 0.294, 0.002, 0.221, 0.023, 11.768, 8.649],
  ['Gemma', 3, 256, 41, 0.311, 0.002, 0.226, 0.024, 12.018, 8.848],
  ['Gemma', 3, 512, 39, 0.325, 0.002, 0.237, 0.025, 12.087, 8.932],
  ['TinyLlama', 1, 0, 329, 0.819, 0, 0.815, 0.001, 22.016, 21.01],
  ['TinyLlama', 2, 0, 233, 0.446, 0, 0.413, 0.001, 12.657, 10.37],
  ['TinyLlama', 2, 64, 211, 0.454, 0, 0.421, 0.002, 15.243, 12.908],
  ['TinyLlama', 2, 128, 209, 0.454, 0, 0.421, 0.002, 15.456, 13.118],
  ['TinyLlama', 2, 256, 209, 0.457, 0, 0.423, 0.002, 15.223, 12.908],
  ['TinyLlama', 2, 512, 209, 0.461, 0, 0.428, 0.002, 15.383, 13.062],
  ['Pythia', 1, 0, 53, 1.227, 0.002, 1.206, 0.005, 13.28, 12.286],
  ['Pythia', 2, 0, 61, 0.856, 0.001, 0.606, 0.005, 8.423, 6.378],
  ['Pythia', 2, 64, 63, 0.875, 0.001, 0.626, 0.005, 10.554, 8.519],
  ['Pythia', 2, 128, 59, 0.892, 0.001, 0.642, 0.005, 10.167, 8.196],
  ['Pythia', 2, 256, 59, 0.913, 0.001, 0.662, 0.005, 10.41, 8.402],
  ['Pythia', 2, 512, 53, 0.956, 0.002, 0.702, 0.006, 12.609, 10.311],
];

const misprint = 'its transformer time is that of the row without LoRA, while its total is larger by 0.043 ms';

export const tableK1: readonly ComponentTimes[] = rows.map(
  ([model, loops, rank, maxBatch, total, embedding, transformer, head, aloneTotal, alone]) => ({
    model,
    loops,
    rank,
    maxBatch,
    total,
    embedding,
    transformer,
    head,
    alone: { total: aloneTotal, transformer: alone },
    ...(model === 'Gemma' && loops === 3 && rank === 64 ? { misprint } : {}),
  }),
);

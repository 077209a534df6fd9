// Makes a recursive model of TinyLlama's shape (block 11 × 2 loops: 1.1 billion parameters unrolled, 0.62 billion
// stored) with random bf16 weights: 1.2 GB that behave like a checkpoint. Deterministic; takes a few seconds.
//
//   node bench/make-tinyllama.js DIR [--lora RANK]
import { makeRandomModel } from './make-random-model.js';

const shape = {
  name: 'tinyllama-recursive',
  hidden: 2048,
  intermediate: 5632,
  heads: 32,
  kvHeads: 4,
  block: 11,
  loops: 2,
  vocabulary: 32000,
  positions: 2048,
  tied: false,
  dtype: 'bf16',
};

export function makeTinyLlama(folder, rank = 0) {
  return makeRandomModel(folder, { ...shape, lora: rank });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [folder, flag, rank] = process.argv.slice(2);
  if (!folder || (flag !== undefined && (flag !== '--lora' || !(Number(rank) > 0)))) {
    console.error('usage: node bench/make-tinyllama.js DIR [--lora RANK]');
    process.exit(2);
  }
  const { bytes, parameters } = makeTinyLlama(folder, Number(rank ?? 0));
  console.log(`${folder}: ${(parameters / 1e6).toFixed(0)} million parameters stored, ${(bytes / 1e9).toFixed(2)} GB`);
}

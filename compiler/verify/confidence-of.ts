import type { Confidence } from '../read/source-model.ts';

/** How sure a row of logits is, from 0 to 1. */
export function confidenceOf(kind: Confidence, logits: Float64Array): number {
  const largest = logits.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const powers = logits.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((total, x) => total + x, 0);
  const probabilities = powers.map((x) => x / sum);
  switch (kind) {
    case 'top1':
      return Math.max(...top(probabilities, 1));
    case 'margin': {
      const [first, second] = top(probabilities, 2);
      return first! - second!;
    }
    case 'entropy': {
      const entropy = probabilities.reduce((total, p) => (p > 0 ? total - p * Math.log(p) : total), 0);
      return 1 - entropy / Math.log(logits.length);
    }
  }
}

function top(values: Float64Array, count: number): readonly number[] {
  return [...values.toSorted().subarray(-count)].reverse();
}

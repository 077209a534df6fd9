import { uniform } from './random.ts';

/** How the next token is chosen from the logits. */
export type Sampling =
  /** The largest logit; of equals the lowest token id. */
  | { readonly kind: 'greedy' }
  /**
   * Drawn from softmax(logits / temperature), cut to the `topK` most likely tokens and then to the smallest set of most
   * likely ones whose probability reaches `topP`. Of equally likely tokens the lower id counts as the more likely one.
   */
  | {
      readonly kind: 'sample';
      /** More than 0; 1 by default. */
      readonly temperature?: number;
      /** At least 1; by default all tokens. */
      readonly topK?: number;
      /** More than 0, at most 1; by default 1. */
      readonly topP?: number;
      /** An integer; 0 by default. */
      readonly seed?: number;
    };

/**
 * The token that follows, given the logits of one position [vocab].
 * A draw depends on the logits, `sequence` and `step` alone: sequence i of a call with seed s draws what the only
 * sequence of a call with seed s + i does, whatever else is in the batch.
 * @param sequence place of the sequence among the prompts, from 0
 * @param step how many tokens the sequence already got
 */
export function chooseToken(logits: Float32Array, sampling: Sampling, sequence: number, step: number): number {
  if (sampling.kind === 'greedy') return largest(logits);
  const { temperature = 1, topK = logits.length, topP = 1, seed = 0 } = sampling;
  const peak = logits[largest(logits)]!;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - peak) / temperature));
  const candidates = likeliest(weights, topK, topP);
  let total = 0;
  for (const token of candidates) total += weights[token]!;
  let left = uniform(seed + sequence, step) * total;
  for (const token of candidates) {
    left -= weights[token]!;
    if (left < 0) return token;
  }
  // Rounding may leave a sliver behind the last candidate.
  return candidates[candidates.length - 1]!;
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let token = 1; token < logits.length; token++) if (logits[token]! > logits[best]!) best = token;
  return best;
}

/** Token ids that `topK` and `topP` keep: in ascending order when they keep all, else the likeliest first. */
function likeliest(weights: Float64Array, topK: number, topP: number): Uint32Array {
  const all = Uint32Array.from(weights, (_, token) => token);
  if (topK >= weights.length && topP >= 1) return all;
  let total = 0;
  for (const weight of weights) total += weight;
  // Tokens below the floor weigh less than 1 - topP together, so the set that reaches topP does without them; sorting
  // what is left is sorting hundreds, not the whole vocabulary.
  const floor = topP < 1 && topK >= weights.length ? ((1 - topP) * total) / weights.length : 0;
  const sorted = all
    .filter((token) => weights[token]! >= floor)
    .sort((a, b) => weights[b]! - weights[a]! || a - b)
    .subarray(0, topK);
  if (topP >= 1) return sorted;
  let kept = 0;
  for (const token of sorted) kept += weights[token]!;
  const enough = topP * (topK < weights.length ? kept : total);
  let reached = 0;
  const end = sorted.findIndex((token) => {
    reached += weights[token]!;
    return reached >= enough;
  });
  return end < 0 ? sorted : sorted.subarray(0, end + 1);
}

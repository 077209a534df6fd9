import { exponential } from './exponential.ts';
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
  const best = largest(logits);
  if (sampling.kind === 'greedy') return best;
  const { temperature = 1, topK = logits.length, topP = 1, seed = 0 } = sampling;
  const share = uniform(seed + sequence, step);
  const weigh = (token: number) => exponential((logits[token]! - logits[best]!) / temperature);
  if (topK < logits.length) {
    const tokens = likeliest(logits, topK);
    const weights = Float64Array.from(tokens, weigh);
    return drawFrom(tokens, topP < 1 ? cut(weights, topP * sum(weights)) : weights, share);
  }
  return topP < 1 ? drawNucleus(logits, temperature, topP, share) : drawAny(logits, temperature, share);
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let token = 1; token < logits.length; token++) if (logits[token]! > logits[best]!) best = token;
  return best;
}

// What follows runs for every row that draws, over a whole vocabulary: loops without calls to speak of.

/** A token of all: the first behind which the weights of those up to it exceed `share` of the total. */
function drawAny(logits: Float32Array, temperature: number, share: number): number {
  const peak = logits[largest(logits)]!;
  const block = 256;
  const sums = new Float64Array(Math.ceil(logits.length / block));
  for (let i = 0; i < sums.length; i++) {
    const end = Math.min(logits.length, (i + 1) * block);
    let inside = 0;
    for (let token = i * block; token < end; token++) inside += exponential((logits[token]! - peak) / temperature);
    sums[i] = inside;
  }
  let left = share * sum(sums);
  let first = 0;
  while (first < sums.length - 1 && left >= sums[first]!) left -= sums[first++]!;
  const end = Math.min(logits.length, (first + 1) * block);
  for (let token = first * block; token < end; token++) {
    left -= exponential((logits[token]! - peak) / temperature);
    if (left < 0) return token;
  }
  // Rounding may leave a sliver behind the last one.
  return end - 1;
}

/** A token of the smallest set of likeliest ones whose weights reach `topP` of the total. */
function drawNucleus(logits: Float32Array, temperature: number, topP: number, share: number): number {
  const peak = logits[largest(logits)]!;
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let token = 0; token < weights.length; token++) {
    const weight = exponential((logits[token]! - peak) / temperature);
    weights[token] = weight;
    total += weight;
  }
  const enough = topP * total;
  const take = (tokens: Uint32Array) =>
    cut(
      Float64Array.from(tokens, (token) => weights[token]!),
      enough,
    );
  // As a rule a few tokens reach it, and finding these is quicker than sorting all that may belong to the set.
  const few = likeliest(logits, Math.min(256, logits.length));
  const taken = take(few);
  if (taken.length < few.length) return drawFrom(few, taken, share);
  // Tokens below the floor weigh less than 1 - topP together, so the set does without them.
  const floor = (total - enough) / weights.length;
  const some = new Uint32Array(weights.length);
  let count = 0;
  for (let token = 0; token < weights.length; token++) if (weights[token]! >= floor) some[count++] = token;
  const tokens = sorted(logits, some.subarray(0, count));
  return drawFrom(tokens, take(tokens), share);
}

/** One of the first tokens, as many as have weights. */
function drawFrom(tokens: Uint32Array, weights: Float64Array, share: number): number {
  let left = share * sum(weights);
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return tokens[i]!;
  }
  return tokens[Math.max(0, weights.length - 1)]!;
}

/** The first weights that come to `enough`. */
function cut(weights: Float64Array, enough: number): Float64Array {
  let reached = 0;
  let end = 0;
  while (end < weights.length && reached < enough) reached += weights[end++]!;
  return weights.subarray(0, end);
}

function sum(numbers: Float64Array): number {
  let total = 0;
  for (let i = 0; i < numbers.length; i++) total += numbers[i]!;
  return total;
}

/** The tokens of the `count` largest logits, the largest first, of equals the lowest id. */
function likeliest(logits: Float32Array, count: number): Uint32Array {
  // A heap with the least likely of those kept on top. Ids go up, so whoever comes later has to be larger to get in.
  const heap = new Uint32Array(count);
  const below = (a: number, b: number) => logits[a]! < logits[b]! || (logits[a] === logits[b] && a > b);
  const sink = (token: number, from: number) => {
    let place = from;
    for (let child = 2 * place + 1; child < count; child = 2 * place + 1) {
      if (child + 1 < count && below(heap[child + 1]!, heap[child]!)) child++;
      if (!below(heap[child]!, token)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = token;
  };
  for (let token = 0; token < count; token++) heap[token] = token;
  for (let place = (count >> 1) - 1; place >= 0; place--) sink(heap[place]!, place);
  let least = logits[heap[0]!]!;
  for (let token = count; token < logits.length; token++) {
    if (!(logits[token]! > least)) continue;
    sink(token, 0);
    least = logits[heap[0]!]!;
  }
  return sorted(logits, heap);
}

/** Tokens by falling logits, of equals the lowest id first. Sorts numbers, which takes no calls. */
function sorted(logits: Float32Array, tokens: Uint32Array): Uint32Array {
  const bits = new Uint32Array(logits.buffer, logits.byteOffset, logits.length);
  // 32 bits that rise as the logit falls, then the id: together a whole number below 2^53.
  const keys = new Float64Array(tokens.length);
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    // Both zeros are one number.
    const word = logits[token] === 0 ? 0 : bits[token]!;
    const falling = word >= 0x80000000 ? word : 0x7fffffff - word;
    keys[i] = falling * 2 ** 21 + token;
  }
  keys.sort();
  return Uint32Array.from(keys, (key) => key % 2 ** 21);
}

import { uniform } from './random.ts';
import { blockSize, blockSums, bucketSums, weightsOf } from './token-weights.ts';

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
 * @param likeliest what greedy would take, where that is known already: a pass over the vocabulary less
 */
export function chooseToken(
  logits: Float32Array,
  sampling: Sampling,
  sequence: number,
  step: number,
  likeliest: number = largest(logits),
): number {
  if (sampling.kind === 'greedy') return likeliest;
  const { temperature = 1, topK = logits.length, topP = 1, seed = 0 } = sampling;
  const share = uniform(seed + sequence, step);
  const softmax = { logits, peak: logits[likeliest]!, temperature };
  if (topK < logits.length) {
    const tokens = firstTokens(logits, topK);
    const weights = weigh(softmax, tokens);
    return drawFrom(tokens, topP < 1 ? cut(weights, topP * sum(weights)) : weights, share);
  }
  return topP < 1 ? drawNucleus(softmax, topP, share) : drawAny(softmax, share);
}

/** What tokens are drawn from: e^((logit - peak) / temperature) is a token's weight. */
interface Softmax {
  readonly logits: Float32Array;
  /** The largest of them. */
  readonly peak: number;
  readonly temperature: number;
}

function weigh({ logits, peak, temperature }: Softmax, tokens: Uint32Array): Float64Array {
  return weightsOf(tokens, logits, peak, temperature);
}

function largest(logits: Float32Array): number {
  let best = 0;
  let peak = logits[0]!;
  for (let token = 1; token < logits.length; token++) {
    const logit = logits[token]!;
    if (logit > peak) {
      peak = logit;
      best = token;
    }
  }
  return best;
}

/** A token of all: the first behind which the weights of those up to it exceed `share` of the total. */
function drawAny(softmax: Softmax, share: number): number {
  const { logits, peak, temperature } = softmax;
  const sums = blockSums(logits, peak, temperature);
  let left = share * sum(sums);
  let block = 0;
  while (block < sums.length - 1 && left >= sums[block]!) left -= sums[block++]!;
  const first = block * blockSize;
  const tokens = new Uint32Array(Math.min(blockSize, logits.length - first));
  for (let i = 0; i < tokens.length; i++) tokens[i] = first + i;
  return drawBehind(tokens, weigh(softmax, tokens), left);
}

/**
 * A token of the smallest set of likeliest ones whose weights reach `topP` of the total. Only the bucket in which the
 * set ends is sorted, and the one in which the draw falls.
 */
function drawNucleus(softmax: Softmax, topP: number, share: number): number {
  const { logits, peak, temperature } = softmax;
  const { sums, buckets } = bucketSums(logits, peak, temperature);
  const enough = topP * sum(sums);
  let last = 0;
  let before = 0;
  while (last < sums.length - 1 && before + sums[last]! < enough) before += sums[last++]!;
  const tokens = inBucket(logits, buckets, last);
  const kept = cut(weigh(softmax, tokens), enough - before);
  let left = share * (before + sum(kept));
  for (let bucket = 0; bucket < last; bucket++) {
    if (left < sums[bucket]!) {
      const within = inBucket(logits, buckets, bucket);
      return drawBehind(within, weigh(softmax, within), left);
    }
    left -= sums[bucket]!;
  }
  return drawBehind(tokens, kept, left);
}

/** The tokens of a bucket by falling logits. */
function inBucket(logits: Float32Array, buckets: Uint16Array, bucket: number): Uint32Array {
  const tokens: number[] = [];
  for (let token = 0; token < logits.length; token++) if (buckets[token] === bucket) tokens.push(token);
  return sorted(logits, Uint32Array.from(tokens));
}

/** One of the first tokens, as many as have weights. */
function drawFrom(tokens: Uint32Array, weights: Float64Array, share: number): number {
  return drawBehind(tokens, weights, share * sum(weights));
}

/** The first of those tokens behind which their weights exceed `amount`; the last where rounding leaves a sliver. */
function drawBehind(tokens: Uint32Array, weights: Float64Array, amount: number): number {
  let left = amount;
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
function firstTokens(logits: Float32Array, count: number): Uint32Array {
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

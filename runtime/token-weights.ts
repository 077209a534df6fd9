const size = 2048;

/** 2^(-i/2048), as products of repeated square roots of 2, which are the same on every machine. */
const fractions = Float64Array.from({ length: size }, (_, i) => {
  let product = 1;
  let root = 2;
  for (let bit = size >> 1; bit > 0; bit >>= 1) {
    root = Math.sqrt(root);
    if (i & bit) product *= root;
  }
  return 1 / product;
});

/** 2^-i; 0 from where it would be less than 1e-300, so that nothing becomes denormal, which is slow. */
const powers = Float64Array.from({ length: 1024 }, (_, i) => (i < 997 ? 2 ** -i : 0));

/** Steps of 2^(-1/2048) behind which every weight is 0. */
const far = size * 1023;

/** Tokens that have a sum of their own. */
export const blockSize = 256;

/** Buckets of a sixteenth of an octave; the last has all that is below. */
const bucketCount = 1024;

// Weights of tokens are e^((logit - peak) / temperature), to 11 digits, which is more than a logit in f32 has. They are
// what drawing a token costs, a vocabulary of them for each: so the passes over all tokens are loops without calls, what
// they need are numbers and local names (a module's own are looked up each time: a quarter of the time), and what they
// look up fits the fastest cache.

// The rest r of a step is e^(-r·once) = 1 - r·once + r²·twice.
const once = Math.LN2 / size;
const twice = once ** 2 / 2;

/** Weights of tokens, given the largest of all logits. */
export function weightsOf(tokens: Uint32Array, logits: Float32Array, peak: number, temperature: number): Float64Array {
  const scale = size / Math.LN2 / temperature;
  const weights = new Float64Array(tokens.length);
  for (let i = 0; i < tokens.length; i++) {
    const steps = Math.min((peak - logits[tokens[i]!]!) * scale, far);
    const whole = steps | 0;
    const rest = whole - steps;
    weights[i] = fractions[whole & 2047]! * powers[whole >> 11]! * (1 + rest * (once + rest * twice));
  }
  return weights;
}

/** Sums of weights of {@link blockSize} tokens each, in order. */
export function blockSums(logits: Float32Array, peak: number, temperature: number): Float64Array {
  const parts = fractions;
  const octaves = powers;
  const a = once;
  const b = twice;
  const last = far;
  const count = logits.length;
  const scale = size / Math.LN2 / temperature;
  const sums = new Float64Array(Math.ceil(count / blockSize));
  for (let block = 0, token = 0; token < count; block++) {
    const end = Math.min(count, token + blockSize);
    let even = 0;
    let odd = 0;
    // Two at a time, so that one sum need not wait for the other; behind the last logit there is nothing, of weight 0.
    for (; token < end; token += 2) {
      const steps = Math.min((peak - logits[token]!) * scale, last);
      const whole = steps | 0;
      const rest = whole - steps;
      even += parts[whole & 2047]! * octaves[whole >> 11]! * (1 + rest * (a + rest * b));
      const otherSteps = token + 1 < end ? Math.min((peak - logits[token + 1]!) * scale, last) : last;
      const other = otherSteps | 0;
      const otherRest = other - otherSteps;
      odd += parts[other & 2047]! * octaves[other >> 11]! * (1 + otherRest * (a + otherRest * b));
    }
    sums[block] = even + odd;
  }
  return sums;
}

/**
 * Sums of weights by bucket, likeliest first, and every token's bucket. The buckets are overwritten by the next call,
 * whoever makes it.
 */
export function bucketSums(
  logits: Float32Array,
  peak: number,
  temperature: number,
): { readonly sums: Float64Array; readonly buckets: Uint16Array } {
  const parts = fractions;
  const octaves = powers;
  const a = once;
  const b = twice;
  const last = far;
  const count = logits.length;
  const scale = size / Math.LN2 / temperature;
  if (scratch.length < count) scratch = new Uint16Array(count);
  const buckets = scratch;
  const sums = new Float64Array(bucketCount);
  for (let token = 0; token < count; token++) {
    const steps = Math.min((peak - logits[token]!) * scale, last);
    const whole = steps | 0;
    const rest = whole - steps;
    const bucket = Math.min(whole >> 7, 1023);
    buckets[token] = bucket;
    sums[bucket]! += parts[whole & 2047]! * octaves[whole >> 11]! * (1 + rest * (a + rest * b));
  }
  return { sums, buckets };
}

let scratch = new Uint16Array(0);

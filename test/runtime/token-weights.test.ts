import { describe, expect, test } from 'vitest';
import { chooseToken } from '../../runtime/sampling.ts';
import { blockSums, bucketSums, weightsOf } from '../../runtime/token-weights.ts';
import { randomNumbers } from '../../simulate/random-numbers.ts';

/** Logits such as a model has: most far below a few. */
function randomLogits(count: number, seed: number, spread = 12): Float32Array {
  const random = randomNumbers(seed);
  return Float32Array.from({ length: count }, () => spread * (random() + random() + random() - 1.5));
}

const ids = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);
const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0);

describe.each([1, 2, 255, 256, 257, 1000])('weights of %i tokens', (count) => {
  const logits = randomLogits(count, count);
  const peak = Math.max(...logits);

  test('are e^((logit - peak) / temperature), to 11 digits', () => {
    for (const temperature of [0.05, 0.7, 1, 30]) {
      const weights = weightsOf(ids(count), logits, peak, temperature);
      logits.forEach((logit, token) => {
        const exact = Math.exp((logit - peak) / temperature);
        if (exact > 1e-290) expect(Math.abs(weights[token]! / exact - 1)).toBeLessThan(1e-11);
        else expect(weights[token]).toBeLessThan(1e-280);
      });
    }
  });

  test('add up to the same by blocks and by buckets, and a bucket has neighbours only', () => {
    const weights = weightsOf(ids(count), logits, peak, 0.7);
    const blocks = blockSums(logits, peak, 0.7);
    expect(blocks).toHaveLength(Math.ceil(count / 256));
    blocks.forEach((block, i) => {
      expect(block / sum(weights.subarray(256 * i, 256 * (i + 1)))).toBeCloseTo(1, 12);
    });
    const { sums, buckets } = bucketSums(logits, peak, 0.7);
    for (let token = 0; token < count; token++) {
      const bucket = buckets[token]!;
      const end = 2 ** (-bucket / 16);
      expect(weights[token]! <= end * (1 + 1e-9)).toBe(true);
      if (bucket < 1023) expect(weights[token]! >= end * 2 ** (-1 / 16) * (1 - 1e-9)).toBe(true);
    }
    expect(sum(sums) / sum(weights)).toBeCloseTo(1, 12);
  });
});

describe('logits beyond what weights reach', () => {
  const far = Float32Array.of(Number.NEGATIVE_INFINITY, 3, -3.4e38, -1e9, 2, Number.NEGATIVE_INFINITY, -700);

  test.each([
    { temperature: 1 },
    { temperature: 0.01 },
    { temperature: 1e-300 },
    { topP: 0.999 },
    { topP: 0.999, temperature: 1e-9 },
    { topK: 5, topP: 0.99 },
    { topK: 5 },
  ])('are never drawn, with %j', (options) => {
    for (let step = 0; step < 200; step++) {
      const token = chooseToken(far, { kind: 'sample', ...options }, 0, step);
      expect([1, 4]).toContain(token);
      if ((options.temperature ?? 1) < 1) expect(token).toBe(1);
    }
  });

  test('a model that gives no numbers still gives tokens', () => {
    const nothing = new Float32Array(300).fill(Number.NaN);
    for (const options of [{}, { topP: 0.5 }, { topK: 3 }]) {
      const token = chooseToken(nothing, { kind: 'sample', ...options }, 0, 0);
      expect(token >= 0 && token < 300).toBe(true);
    }
  });
});

test('the likeliest token may be told, or found', () => {
  const logits = randomLogits(5000, 7);
  const best = logits.indexOf(Math.max(...logits));
  for (let step = 0; step < 100; step++) {
    for (const options of [{ temperature: 0.8 }, { topP: 0.9 }, { topP: 0.3, temperature: 2 }, { topK: 20 }]) {
      const sampling = { kind: 'sample', seed: 5, ...options } as const;
      expect(chooseToken(logits, sampling, 2, step, best)).toBe(chooseToken(logits, sampling, 2, step));
    }
  }
});

test('a set that is most of a vocabulary is drawn from as a plain sort would', () => {
  const logits = randomLogits(4000, 11, 1);
  const peak = Math.max(...logits);
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const weight = (token: number) => Math.exp(logits[token]! - peak);
  const total = sum([...logits.keys()].map(weight));
  const counts = new Array<number>(4).fill(0);
  let reached = 0;
  const kept = order.filter((token) => {
    const inside = reached < 0.9 * total;
    reached += weight(token);
    return inside;
  });
  const keptTotal = sum(kept.map(weight));
  const quarterOf = new Map<number, number>();
  let before = 0;
  for (const token of kept) {
    quarterOf.set(token, Math.min(3, Math.floor((4 * before) / keptTotal)));
    before += weight(token);
  }
  for (let step = 0; step < 2000; step++) {
    const token = chooseToken(logits, { kind: 'sample', topP: 0.9, seed: 9 }, 0, step);
    counts[quarterOf.get(token) ?? expect.fail(`${token} is not in the set`)]! += 1;
  }
  for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100);
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exponential } from '../../runtime/exponential.ts';
import { uniform } from '../../runtime/random.ts';
import { chooseToken } from '../../runtime/sampling.ts';

const logits = Float32Array.of(0, 2, 1, 2, -1);

function frequencies(sampling: Parameters<typeof chooseToken>[1], draws = 4000): number[] {
  const counts = new Array<number>(logits.length).fill(0);
  for (let step = 0; step < draws; step++) counts[chooseToken(logits, sampling, 0, step)]! += 1 / draws;
  return counts;
}

describe('uniform', () => {
  test('is splitmix64: the published outputs of seed 0 behind the scrambled start', () => {
    // Outputs of the reference implementation for the state that seed 0 scrambles to.
    const state = reference(0x9e3779b97f4a7c15n, 1)[0]!.scrambled;
    const expected = reference(state, 3).map(({ output }) => Number(output >> 11n) / 2 ** 53);
    expect([0, 1, 2].map((draw) => uniform(0, draw))).toEqual(expected);
  });

  test('spreads evenly over [0, 1), over draws and over neighbouring seeds', () => {
    for (const draw of [(i: number) => uniform(7, i), (i: number) => uniform(i, 0)]) {
      const buckets = new Array<number>(10).fill(0);
      for (let i = 0; i < 10_000; i++) {
        const u = draw(i);
        expect(u).toBeGreaterThanOrEqual(0);
        expect(u).toBeLessThan(1);
        buckets[Math.floor(u * 10)]! += 1;
      }
      for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150);
    }
  });
});

/** splitmix64 as it was published, one state after the other. */
function reference(start: bigint, count: number): { scrambled: bigint; output: bigint }[] {
  const mask = (1n << 64n) - 1n;
  const mix = (z0: bigint) => {
    const z1 = ((z0 ^ (z0 >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    const z2 = ((z1 ^ (z1 >> 27n)) * 0x94d049bb133111ebn) & mask;
    return z2 ^ (z2 >> 31n);
  };
  let state = start;
  return Array.from({ length: count }, () => {
    const scrambled = mix(state);
    state = (state + 0x9e3779b97f4a7c15n) & mask;
    return { scrambled, output: mix(state) };
  });
}

test('exponential is e^x, to 13 digits', () => {
  expect(exponential(0)).toBe(1);
  for (let x = 0; x > -690; x -= 0.0137) expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(1e-13);
  for (const x of [-690, -1e9, Number.NEGATIVE_INFINITY]) expect(exponential(x)).toBe(0);
  expect(exponential(Number.NaN)).toBeNaN();
});

describe('chooseToken', () => {
  test('greedy takes the largest logit, of equals the lowest id', () => {
    expect(chooseToken(logits, { kind: 'greedy' }, 0, 0)).toBe(1);
  });

  test('draws as often as softmax says', () => {
    const weights = [...logits].map((logit) => Math.exp(logit / 2));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    frequencies({ kind: 'sample', temperature: 2 }).forEach((frequency, token) => {
      expect(frequency).toBeCloseTo(weights[token]! / total, 1);
    });
  });

  test('top-k keeps the k likeliest, of equals the lower ids', () => {
    expect(frequencies({ kind: 'sample', topK: 1 })).toEqual([0, 1, 0, 0, 0].map((x) => expect.closeTo(x)));
    const two = frequencies({ kind: 'sample', topK: 2 });
    expect([two[0], two[2], two[4]]).toEqual([0, 0, 0]);
    expect(two[1]).toBeCloseTo(0.5, 1);
  });

  test('top-p keeps the smallest set that reaches p', () => {
    // Probabilities: 0.053, 0.394, 0.145, 0.394, 0.020.
    expect(frequencies({ kind: 'sample', topP: 0.3 })).toEqual([0, 1, 0, 0, 0].map((x) => expect.closeTo(x)));
    const eighty = frequencies({ kind: 'sample', topP: 0.8 });
    expect([eighty[0], eighty[4]]).toEqual([0, 0]);
    expect(eighty[2]).toBeGreaterThan(0.1);
  });

  test('top-p counts within what top-k left', () => {
    // Of tokens 1, 3 and 2 the first two hold 0.84: they reach 0.8 of the three, not of all five.
    const both = frequencies({ kind: 'sample', topK: 3, topP: 0.8 });
    expect([both[0], both[2], both[4]]).toEqual([0, 0, 0]);
  });

  test('the tokens that top-p keeps are those of a plain sort', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 1, maxLength: 40 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        fc.nat(1000),
        (values, topP, step) => {
          const numbers = Float32Array.from(values);
          const weights = [...numbers].map((value) => Math.exp(value - Math.max(...numbers)));
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          const order = [...weights.keys()].sort((a, b) => numbers[b]! - numbers[a]! || a - b);
          const allowed = new Set<number>();
          let reached = 0;
          for (const token of order) {
            if (reached >= topP * total * (1 + 1e-12)) break;
            allowed.add(token);
            reached += weights[token]!;
          }
          return allowed.has(chooseToken(numbers, { kind: 'sample', topP }, 0, step));
        },
      ),
    );
  });

  test('whatever is kept, a draw is that of a plain sum over a plain sort', () => {
    const options = fc.record({
      // Few values, so that many are equal; more of them than are looked for at first.
      values: fc.oneof(
        fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 30 }),
        fc.array(fc.float({ min: -9, max: 9, noNaN: true }), { minLength: 1, maxLength: 900, size: 'max' }),
      ),
      temperature: fc.double({ min: 0.5, max: 3, noNaN: true }),
      topK: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
      topP: fc.option(fc.double({ min: 0.01, max: 0.99, noNaN: true }), { nil: undefined }),
      step: fc.nat(1000),
    });
    fc.assert(
      fc.property(options, ({ values, temperature, topK, topP, step }) => {
        const numbers = Float32Array.from(values);
        const kept = { ...(topK === undefined ? {} : { topK }), ...(topP === undefined ? {} : { topP }) };
        const found = chooseToken(numbers, { kind: 'sample', temperature, ...kept, seed: 3 }, 1, step);
        const peak = Math.max(...numbers);
        const weight = (token: number) => Math.exp((numbers[token]! - peak) / temperature);
        const total = (tokens: readonly number[]) => tokens.reduce((sum, token) => sum + weight(token), 0);
        const ids = [...numbers.keys()];
        const all = topK !== undefined && topK < ids.length;
        const ranked = ids.toSorted((a, b) => numbers[b]! - numbers[a]! || a - b).slice(0, topK);
        let tokens: readonly number[] = ranked;
        if (topP !== undefined) {
          const enough = topP * total(ranked);
          const end = ranked.findIndex((_, i) => total(ranked.slice(0, i + 1)) >= enough * (1 - 1e-12));
          tokens = ranked.slice(0, end + 1);
        } else if (!all) tokens = ids;
        // Where the draw falls, in shares of the whole; it may be off by a rounding.
        const place = tokens.indexOf(found);
        expect(place).toBeGreaterThanOrEqual(0);
        const before = total(tokens.slice(0, place)) / total(tokens);
        const behind = total(tokens.slice(0, place + 1)) / total(tokens);
        const share = uniform(4, step);
        expect(share).toBeGreaterThanOrEqual(before - 1e-9);
        expect(share).toBeLessThanOrEqual(behind + 1e-9);
      }),
      { numRuns: 300 },
    );
  });

  test('a sequence draws alone what it draws in a batch, with the seed of its place', () => {
    for (let step = 0; step < 50; step++) {
      const inBatch = chooseToken(logits, { kind: 'sample', seed: 5 }, 2, step);
      expect(chooseToken(logits, { kind: 'sample', seed: 7 }, 0, step)).toBe(inBatch);
    }
  });
});

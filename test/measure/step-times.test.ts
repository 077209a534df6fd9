import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StepRecord } from '../../measure/contestant.ts';
import { doubtsOf } from '../../measure/doubts.ts';
import { fullDepthSamples } from '../../measure/full-depth-samples.ts';
import type { ProbeSamples } from '../../measure/probe.ts';
import { risingMedians } from '../../measure/rising-medians.ts';
import { medianInterval, medianOf } from '../../measure/statistics.ts';
import { stepTimes } from '../../measure/step-times.ts';
import { randomNumbers } from '../../simulate/random-numbers.ts';
import { timeAt } from '../../simulate/time-at.ts';

/** A step as a busy machine runs it: some ripple, and in one of four somebody else has the core for a while. */
function noisy(random: () => number): (truth: number) => number {
  return (truth) => truth * (1 + 0.03 * (random() - 0.5) + (random() < 0.25 ? random() : 0));
}

/** 30 ms a pass, 2 ms for any head and 0.1 ms for each. */
const truth = { pass: 30, head: (count: number) => 2 + count / 10 };

/** What probes of rounds in a noisy time give, as probeStep runs them. */
function probe(random: () => number, rounds: number, repeats: number): readonly ProbeSamples[] {
  const time = noisy(random);
  return Array.from({ length: rounds }, () => {
    const passes = [time(truth.pass)];
    const beside = (milliseconds: number) => {
      const taken = time(milliseconds) - passes.at(-1)!;
      passes.push(time(truth.pass));
      return taken;
    };
    const each = Array.from({ length: repeats }, (_, i) => i);
    const heads = each.flatMap(() =>
      [8, 13, 16].map((count) => ({ count, milliseconds: beside(truth.pass + truth.head(count)) })),
    );
    return { heads, withoutPast: each.map(() => beside(25)), evenPast: each.map(() => beside(29)), passes };
  });
}

const nothing = { passes: [], heads: [] };

/** Full depth at work: every second step has heads, and is as noisy. */
function fullDepthSteps(random: () => number, count: number, rows = 16): readonly StepRecord[] {
  const time = noisy(random);
  return Array.from({ length: count }, (_, i) => {
    const heads = i % 2 === 0 ? 0 : rows;
    const run = time(truth.pass + (heads === 0 ? 0 : truth.head(heads)));
    return { kind: 'decode', start: 0, duration: run, run, rows: new Array(rows), heads, tokens: [], steady: true };
  });
}

const seeds = Array.from({ length: 60 }, (_, i) => i + 1);

describe('times of heads behind noisy passes', () => {
  test('never fall, and are near the truth more often than the medians of each count', () => {
    const errors = seeds.map((seed) => {
      const samples = probe(randomNumbers(seed), 3, 3).flatMap(({ heads }) => heads);
      const { points } = risingMedians(samples);
      const plain = [8, 13, 16].map((count) =>
        medianOf(samples.filter((sample) => sample.count === count).map(({ milliseconds }) => milliseconds)),
      );
      points.forEach((point, i) => {
        expect(point.milliseconds).toBeGreaterThanOrEqual(points[i - 1]?.milliseconds ?? 0);
      });
      const error = (times: readonly number[]) =>
        Math.max(...times.map((time, i) => Math.abs(time - truth.head([8, 13, 16][i]!))));
      return { rising: error(points.map(({ milliseconds }) => milliseconds)), plain: error(plain) };
    });
    const sum = (of: (error: (typeof errors)[number]) => number) => errors.reduce((all, error) => all + of(error), 0);
    expect(sum(({ rising }) => rising)).toBeLessThan(0.8 * sum(({ plain }) => plain));
  });

  test('with full depth at work they come out right, and the interval says how far they may be off', () => {
    let inside = 0;
    for (const seed of seeds) {
      const random = randomNumbers(seed);
      const probes = probe(random, 4, 3);
      const times = stepTimes(probes, fullDepthSamples([fullDepthSteps(random, 200)], 16));
      expect(times.passFrom).toBe('full-depth');
      expect(Math.abs(times.pass / truth.pass - 1)).toBeLessThan(0.02);
      expect(Math.abs(timeAt(times.heads, 16) - truth.head(16))).toBeLessThan(1.2);
      const [low, high] = [timeAt(times.headEnds.low, 16), timeAt(times.headEnds.high, 16)];
      expect(low).toBeLessThanOrEqual(timeAt(times.heads, 16));
      expect(high).toBeGreaterThanOrEqual(timeAt(times.heads, 16));
      if (low <= truth.head(16) && truth.head(16) <= high) inside++;
      expect(times.withoutPast).toBeLessThan(times.pass);
    }
    // 19 of 20 on average, were the samples independent; neighbours share a pass.
    expect(inside / seeds.length).toBeGreaterThan(0.85);
  });

  test('by probes alone the interval is wide, and mostly holds the truth', () => {
    let inside = 0;
    for (const seed of seeds) {
      const times = stepTimes(probe(randomNumbers(seed), 2, 3), nothing);
      expect(times.passFrom).toBe('probes');
      const [low, high] = [timeAt(times.headEnds.low, 13), timeAt(times.headEnds.high, 13)];
      if (low <= truth.head(13) && truth.head(13) <= high) inside++;
    }
    expect(inside / seeds.length).toBeGreaterThan(0.85);
  });

  test('a fast reading of many heads pulls that of fewer down, a slow one of few stands for both', () => {
    const at = (count: number, ...times: number[]) => times.map((milliseconds) => ({ count, milliseconds }));
    const of = (...samples: readonly { count: number; milliseconds: number }[]) =>
      risingMedians(samples).points.map(({ milliseconds }) => milliseconds);
    // The two readings of one run: 6.28 ms for 13 heads, 0.389 ms for 16.
    expect(of(...at(16, 0.3, 0.389, 0.5), ...at(13, 6.2, 6.28, 6.3))).toEqual([3.35, 3.35]);
    expect(of(...at(16, 4, 4, 4, 4, 4), ...at(13, 6.2))).toEqual([4, 4]);
    expect(of(...at(4, 1), ...at(8, 2), ...at(16, 3))).toEqual([1, 2, 3]);
    expect(of(...at(4, -2))).toEqual([0]);
  });

  test('risingMedians is the rising sequence with the least absolute deviation', () => {
    const samples = fc.array(fc.record({ count: fc.integer({ min: 1, max: 4 }), milliseconds: fc.nat(12) }), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(samples, (list) => {
        const { points, low, high } = risingMedians(list);
        const cost = (times: ReadonlyMap<number, number>) =>
          list.reduce((sum, { count, milliseconds }) => sum + Math.abs(milliseconds - times.get(count)!), 0);
        const found = cost(new Map(points.map(({ count, milliseconds }) => [count, milliseconds])));
        // An optimum is among sequences of the samples' own values.
        const values = [...new Set(list.map(({ milliseconds }) => milliseconds))].sort((a, b) => a - b);
        let best = Number.POSITIVE_INFINITY;
        const tryAll = (chosen: readonly number[]): void => {
          if (chosen.length === points.length) {
            best = Math.min(best, cost(new Map(points.map(({ count }, i) => [count, chosen[i]!]))));
            return;
          }
          for (const value of values) if (value >= (chosen.at(-1) ?? 0)) tryAll([...chosen, value]);
        };
        tryAll([]);
        expect(found).toBeCloseTo(best);
        points.forEach(({ milliseconds }, i) => {
          expect(low[i]!.milliseconds).toBeLessThanOrEqual(milliseconds);
          expect(high[i]!.milliseconds).toBeGreaterThanOrEqual(milliseconds);
        });
      }),
      { numRuns: 200 },
    );
  });
});

test('medianInterval leaves the median outside in one of 20 drawings, and in no more', () => {
  for (const count of [6, 9, 20, 101, 2000]) {
    const random = randomNumbers(count);
    let inside = 0;
    const drawings = 400;
    for (let i = 0; i < drawings; i++) {
      const { low, high } = medianInterval(Array.from({ length: count }, random));
      if (low <= 0.5 && 0.5 <= high) inside++;
    }
    expect(inside / drawings).toBeGreaterThan(0.92);
    if (count > 50) expect(inside / drawings).toBeLessThan(0.985);
  }
  expect(medianInterval([3])).toEqual({ low: 3, high: 3 });
  expect(medianInterval([3, 1, 2])).toEqual({ low: 1, high: 3 });
});

describe('fullDepthSamples', () => {
  const step = (run: number, heads: number, more: Partial<StepRecord> = {}): StepRecord => ({
    kind: 'decode',
    start: 0,
    duration: run,
    run,
    rows: new Array(4),
    heads,
    tokens: [],
    steady: true,
    ...more,
  });

  test('heads are told by the pass right before them, within a round', () => {
    const rounds = [[step(10, 0), step(13, 4), step(12, 0), step(14, 4)], [step(20, 4)]];
    const heads = [3, 2].map((milliseconds) => ({ count: 4, milliseconds }));
    expect(fullDepthSamples(rounds, 4)).toEqual({ passes: [10, 12], heads });
  });

  test('not across a prompt, not with rows missing, not when nobody waits', () => {
    const prompt = step(90, 0, { kind: 'prefill' });
    expect(fullDepthSamples([[step(10, 0), prompt, step(13, 4), step(12, 0)]], 4).heads).toEqual([]);
    expect(fullDepthSamples([[step(10, 0), step(13, 3, { rows: new Array(3) }), step(12, 0)]], 4).heads).toEqual([]);
    expect(fullDepthSamples([[step(10, 0), step(13, 4, { steady: false }), step(12, 0)]], 4).heads).toEqual([]);
  });

  test('few passes at work leave it to the probes', () => {
    const few = { passes: [50, 50, 50], heads: [] };
    expect(stepTimes(probe(randomNumbers(1), 2, 3), few)).toMatchObject({ passFrom: 'probes' });
  });
});

describe('doubtsOf', () => {
  const bound = (shareOfGainWithHeads: number) => ({ shareOfGainWithHeads }) as never;
  test('a quiet machine, several rounds and a bound that holds leave none', () => {
    expect(
      doubtsOf({ rounds: 3, steadyRounds: 2, othersCpu: { mean: 0.05, most: 0.6 }, bounds: [bound(1.01), undefined] }),
    ).toEqual([]);
    expect(doubtsOf({ rounds: 3, steadyRounds: 0, othersCpu: undefined, bounds: [] })).toEqual([]);
  });

  test('others at work, more than a whole bound, one round', () => {
    const doubts = doubtsOf({
      rounds: 1,
      steadyRounds: 1,
      othersCpu: { mean: 0.42, most: 0.9 },
      bounds: [bound(0.9), bound(1.118)],
    });
    expect(doubts).toHaveLength(3);
    expect(doubts[0]).toContain('0.42 cores');
    expect(doubts[1]).toContain('111.8 %');
    expect(doubts[2]).toContain('only one round');
    expect(doubtsOf({ rounds: 2, steadyRounds: 1, othersCpu: undefined, bounds: [] })).toEqual([
      'Only one of 2 rounds is of the steady state, so nothing says how far the next would be from it.',
    ]);
  });
});

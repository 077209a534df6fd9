import { describe, expect, test } from 'vitest';
import { binomial } from '../../simulate/binomial.ts';
import { closedForm } from '../../simulate/closed-form.ts';
import { meanExit, sharesByDepth, sharesOf, sharesOfMean } from '../../simulate/exit-shares.ts';
import { expectedRows } from '../../simulate/expected-rows.ts';
import { randomNumbers } from '../../simulate/random-numbers.ts';
import { type Scenario, simulatedBatchings } from '../../simulate/scenario.ts';
import { simulatedSteps } from '../../simulate/schedule/simulated-steps.ts';
import { simulateBatching } from '../../simulate/simulate-batching.ts';
import { stepCosts } from '../../simulate/step-costs.ts';
import { timeAt } from '../../simulate/time-at.ts';
import { scenarioOf } from './scenario.ts';

describe('timeAt', () => {
  const points = [
    { count: 2, milliseconds: 4 },
    { count: 4, milliseconds: 5 },
    { count: 8, milliseconds: 9 },
  ];
  test.each([
    [0, 0],
    [1, 4],
    [2, 4],
    [3, 4.5],
    [6, 7],
    [8, 9],
    [10, 11],
  ])('%i: %f ms', (count, milliseconds) => expect(timeAt(points, count)).toBeCloseTo(milliseconds, 12));

  test('behind the last point time never falls, whatever noise says', () => {
    const falling = [...points, { count: 16, milliseconds: 8 }];
    expect(timeAt(falling, 12)).toBe(8.5);
    expect(timeAt(falling, 100)).toBe(8);
  });

  test('one point holds for all, none cost nothing', () => {
    expect(timeAt(points.slice(0, 1), 100)).toBe(4);
    expect(timeAt([], 100)).toBe(0);
  });
});

describe('exit shares', () => {
  test('of a recorded run', () => {
    const shares = sharesOf([1, 3, 1, 2], 3)!;
    expect(shares).toEqual([0.5, 0.25, 0.25]);
    expect(meanExit(shares)).toBe(1.75);
    expect(sharesByDepth(shares)).toEqual([1, 0.5, 0.25]);
    expect(sharesOf([], 3)).toBeUndefined();
  });

  test.each([
    [1, 3, [1, 2]],
    [1.2, 2, [1]],
    [1.76, 3, [1, 2]],
    [2, 3, [1, 2]],
    [2.9, 3, [1, 2]],
    [3, 3, [1, 2]],
    [2.5, 4, [2]],
    [30.5, 64, Array.from({ length: 63 }, (_, i) => i + 1)],
  ])('of a mean of %f among %i loops', (mean, loops, after) => {
    const shares = sharesOfMean(mean, loops, after);
    expect(shares).toHaveLength(loops);
    expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    expect(meanExit(shares)).toBeCloseTo(mean, 9);
    shares.forEach((share, i) => {
      expect(share).toBeGreaterThanOrEqual(0);
      if (i + 1 !== loops && !after.includes(i + 1)) expect(share).toBe(0);
    });
    // Largest entropy: neighbours differ by the same factor.
    const [a, b, c] = [1, 2, 3].map((loop) => shares[loop - 1]!) as [number, number, number];
    if (loops === 3 && a > 0 && c > 0) expect(b / a).toBeCloseTo(c / b, 6);
  });
});

test('a binomial of thousands adds up and has its mean', () => {
  for (const [trials, probability] of [
    [3, 0.25],
    [5000, 0.3],
    [5000, 1e-7],
    [7, 0],
    [7, 1],
  ] as const) {
    const all = binomial(trials, probability);
    expect(all).toHaveLength(trials + 1);
    expect(all.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
    expect(all.reduce((sum, p, n) => sum + n * p, 0)).toBeCloseTo(trials * probability, 6);
  }
  expect(binomial(3, 0.25)).toEqual([27, 27, 9, 1].map((n) => expect.closeTo(n / 64, 12)));
});

/** So many sequences of tokens that leave independently of each other. */
function randomExits(shares: readonly number[], sequences: number, tokens: number): readonly (readonly number[])[] {
  const random = randomNumbers(7);
  const draw = () => {
    let at = random();
    for (const [i, share] of shares.entries()) {
      at -= share;
      if (at < 0) return i + 1;
    }
    return shares.length;
  };
  return Array.from({ length: sequences }, () => Array.from({ length: tokens }, draw));
}

const shares = [0.5, 0.3, 0.2];
const costs = stepCosts({
  passes: [
    { rows: 1, milliseconds: 2 },
    { rows: 8, milliseconds: 5 },
    { rows: 16, milliseconds: 12 },
  ],
  heads: [
    { heads: 1, milliseconds: 0.5 },
    { heads: 16, milliseconds: 2 },
  ],
  propagate: [
    { tokens: 1, milliseconds: 0.1 },
    { tokens: 32, milliseconds: 3.2 },
  ],
  host: 0.6,
});
const steadyExits = randomExits(shares, 36, 300);

describe('formula and events agree within 1.5 % while the queue is full', () => {
  const cases: readonly (readonly [string, Partial<Scenario>])[] = [
    ['exits known', {}],
    ['exits by confidence', { decision: 'confidence' }],
    ['one exit of two', { decision: 'confidence', exitsAfter: [2] }],
    ['propagate', { kvPolicy: 'propagate' }],
    ['complete', { kvPolicy: 'complete' }],
  ];
  test.each(cases)('%s', async (_, changes) => {
    const onlySecond = changes.exitsAfter?.length === 1;
    const exits = onlySecond ? randomExits([0, 0.6, 0.4], 36, 300) : steadyExits;
    const scenario = scenarioOf(exits, { costs, maxRows: 12, maxSequences: 12, ...changes });
    const measured = sharesOf(exits.flat(), 3)!;
    for (const batching of simulatedBatchings) {
      const { steadyTokensPerSecond: rate } = (await simulateBatching(scenario, batching))!;
      const formula = closedForm({ ...scenario, exits: measured, rows: 12 }, batching);
      expect(Math.abs(rate! / formula - 1), `${batching}: ${rate}, ${formula}`).toBeLessThan(0.015);
    }
  });
});

describe('expectedRows', () => {
  const near = (actual: number, expected: number, within = 0.1) =>
    expect(Math.abs(actual - expected), `${actual}, ${expected}`).toBeLessThan(within);

  test.each([
    'depth-wise',
    'sequence-wise-shrink',
    'sequence-wise',
    'full-depth',
  ] as const)('%s: what the steps of a schedule have', (batching) => {
    const exits = randomExits(shares, 30, 400);
    const scenario = scenarioOf(exits, { maxRows: 6, maxSequences: 6 });
    // Before the queue runs empty.
    const steps = [...simulatedSteps(scenario, batching)].filter(({ queued }) => queued);
    const { steps: expected, tuneFor } = expectedRows({ slots: 6, exits: shares, batching });
    expect(expected.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
    for (const { depth, share, rows, entering, leaving, byDepth } of expected) {
      const same = depth === undefined ? steps : steps.filter((step) => step.rows[0]!.depth === depth);
      const mean = (of: (step: (typeof steps)[number]) => number) =>
        same.reduce((sum, step) => sum + of(step), 0) / same.length;
      near(same.length / steps.length, share, 0.02);
      near(
        mean((step) => step.rows.length),
        rows.mean,
      );
      near(
        mean((step) => step.rows.filter((row) => row.depth === 0).length),
        entering.mean,
      );
      near(
        mean((step) => step.heads),
        leaving.mean,
      );
      byDepth.forEach((count, d) => {
        near(
          mean((step) => step.rows.filter((row) => row.depth === d).length),
          count,
        );
      });
      expect(rows.probabilities.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
      expect(rows.least).toBeLessThanOrEqual(rows.most);
      expect(leaving.probabilities.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
    }
    expect(tuneFor.rows).toBeLessThanOrEqual(6);
  });

  test('depth-wise, every slot has a row in every step', () => {
    const { steps, tuneFor } = expectedRows({ slots: 32, exits: [0.8, 0.2] });
    expect(steps).toHaveLength(1);
    expect(steps[0]).toMatchObject({ depth: undefined, share: 1, rows: { mean: 32, least: 32, most: 32 } });
    expect(steps[0]!.byDepth.map((n) => Number(n.toFixed(4)))).toEqual([26.6667, 5.3333]);
    expect(tuneFor).toEqual({ rows: 32, entering: 27, leaving: 27 });
  });
});

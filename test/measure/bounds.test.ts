import { describe, expect, test } from 'vitest';
import { boundsOf } from '../../measure/bounds.ts';
import type { StepRecord } from '../../measure/contestant.ts';
import { steadyState } from '../../measure/steady-state.ts';

const heads = [
  { count: 1, milliseconds: 1 },
  { count: 4, milliseconds: 1 },
  { count: 8, milliseconds: 2 },
];
const times = {
  pass: 10,
  passFrom: 'full-depth' as const,
  heads,
  headEnds: { low: heads, high: heads },
  withoutPast: 8,
  evenPast: 9.5,
};

/** Steps that each give a token to the first `exits.length` of 8 rows. */
function step(run: number, host: number, exits: readonly number[], rows = 8): StepRecord {
  return {
    kind: 'decode',
    start: 0,
    duration: run + host,
    run,
    rows: Array.from({ length: rows }, (_, request) => ({ request, depth: 0, tokens: 1, role: 'token' as const })),
    heads: exits.length,
    tokens: exits.map((exit, request) => ({ request, token: 0, exit, confidence: 0 })),
    steady: true,
  };
}

const loops2 = [step(10, 0, []), step(12, 0, Array(8).fill(2))];

describe('boundsOf', () => {
  test('at full depth 8 tokens take two passes and a head for 8; leaving after 1.25 loops they take 1.25 and heads', () => {
    // 4 exits a step: of 8 row-passes, 4 tokens leave, which is 2 loops a token … at E = 1.5, 16 tokens in 3 steps.
    const depthWise = steadyState([
      step(11, 0, [1, 1, 1, 1]),
      step(11.5, 0, [1, 1, 1, 1, 2, 2]),
      step(11.5, 0, [2, 2, 2, 2, 2, 2]),
    ])!;
    expect(depthWise.meanExit).toBe(1.5);
    const bounds = boundsOf({
      loops: 2,
      maxRows: 8,
      fullDepth: steadyState(loops2)!,
      depthWise,
      times,
    });
    expect(bounds.reached).toBeCloseTo(22 / 8 / (34 / 16));
    expect(bounds.gain).toBeCloseTo(2 / 1.5);
    // Heads of 4, 6 and 6 rows take 1, 1.5 and 1.5 ms.
    expect(bounds.headOfStep).toBeCloseTo(4 / 3);
    expect(bounds.gainWithHeads).toBeCloseTo((2 * 10 + 2) / (1.5 * (10 + 4 / 3)));
    // Steps took exactly what passes and heads take: nothing is lost beyond heads.
    expect(bounds.shareOfGainWithHeads).toBeCloseTo(1);
    expect(bounds.losses.find(({ what }) => what === 'other')!.gain).toBeCloseTo(0);
  });

  test('what is reached and all losses add up to the gain', () => {
    const fullDepth = steadyState([step(10, 0.5, []), step(12, 0.5, Array(8).fill(2))])!;
    const depthWise = steadyState([step(11, 1, [1, 1, 2], 6), step(12, 1, [1, 1, 1, 2], 6)])!;
    const bounds = boundsOf({ loops: 2, maxRows: 8, fullDepth, depthWise, times });
    const { reached } = bounds;
    expect(reached).toBeCloseTo(23 / 8 / (25 / 7));
    const lost = bounds.losses.reduce((sum, { gain }) => sum + gain, 0);
    expect(lost + reached).toBeCloseTo(bounds.gain);
    const of = (what: string) => bounds.losses.find((loss) => loss.what === what)!.gain;
    expect(of('host')).toBeCloseTo(22 / 8 / (23 / 7) - reached);
    expect(of('empty-rows')).toBeCloseTo((22 / 8 / (23 / 7)) * (8 / 6 - 1));
  });

  test('heads that may be faster or slower are told with both ends of the share', () => {
    const state = steadyState(loops2)!;
    const depthWise = steadyState([step(11, 0, [1, 1, 1, 1])])!;
    const scaled = (by: number) => heads.map(({ count, milliseconds }) => ({ count, milliseconds: milliseconds * by }));
    const headEnds = { low: scaled(0.5), high: scaled(3) };
    const options = { loops: 2, maxRows: 8, fullDepth: state, depthWise };
    const reached = 22 / 8 / (11 / 4);
    expect(reached).toBe(1);
    const bounds = boundsOf({ ...options, times: { ...times, headEnds } });
    expect(bounds.headEnds).toEqual({ low: 1, high: 6 });
    expect(bounds.headOfStepEnds).toEqual({ low: 0.5, high: 3 });
    // Fast heads allow more: (20 + 1) / 10.5 = 2; slow ones (20 + 6) / 13 = 2 as well, between them more or less.
    expect(bounds.shareOfGainWithHeadsEnds!.low).toBeCloseTo(reached / 2);
    expect(bounds.shareOfGainWithHeadsEnds!.high).toBeCloseTo(reached / 2);
    const one = heads.map(({ count }) => ({ count, milliseconds: 1 }));
    const flat = boundsOf({ ...options, times: { ...times, heads: one, headEnds: { low: one, high: scaled(3) } } });
    expect(flat.shareOfGainWithHeads).toBeCloseTo(reached / (21 / 11));
    expect(flat.shareOfGainWithHeadsEnds!.low).toBeCloseTo(reached / 2);
    expect(flat.shareOfGainWithHeadsEnds!.high).toBeCloseTo(flat.shareOfGainWithHeads);
  });

  test('attention and padding are what a pass takes more', () => {
    const state = steadyState(loops2)!;
    const { parts } = boundsOf({ loops: 2, maxRows: 8, fullDepth: state, depthWise: state, times });
    expect(parts).toEqual({ attention: 1.5, padding: 0.5 });
  });
});

describe('steadyState', () => {
  test('prompts do not count, nor do steps with nobody waiting', () => {
    const state = steadyState([
      { ...step(100, 1, [2]), kind: 'prefill' },
      step(10, 1, [1, 1]),
      { ...step(50, 1, [1]), steady: false },
      step(12, 2, [2]),
    ])!;
    expect(state).toMatchObject({ tokens: 3, milliseconds: 25, run: 11, host: 1.5, rowsPerStep: 8, headsPerStep: 1.5 });
    expect(state.meanExit).toBeCloseTo(4 / 3);
    expect(state.hostShare).toBeCloseTo(3 / 25);
  });

  test('rows that only wait did no work', () => {
    const rows = step(10, 0, [1]).rows.map((row, i) => (i < 3 ? row : { ...row, role: 'idle' as const }));
    expect(steadyState([{ ...step(10, 0, [1]), rows }])!.rowsPerStep).toBe(3);
  });

  test('without tokens there is none', () => {
    expect(steadyState([step(10, 0, [])])).toBeUndefined();
  });
});

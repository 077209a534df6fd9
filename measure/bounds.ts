import { type TimePoint, timeAt } from '../simulate/time-at.ts';
import type { BenchRun } from './bench-document.ts';
import { meanOf } from './statistics.ts';
import type { SteadyState } from './steady-state.ts';
import type { StepTimes } from './step-times.ts';

type Bounds = NonNullable<BenchRun['bounds']>;

/** What a bound is made of. */
export interface BoundOptions {
  readonly loops: number;
  readonly maxRows: number;
  readonly fullDepth: SteadyState;
  readonly depthWise: SteadyState;
  readonly times: StepTimes;
}

/**
 * What the exits that depth-wise batching ran with allow, against what it reached.
 *
 * Full depth runs, for M tokens, R passes and one head for M rows. Leaving after E loops on average takes E passes, and
 * as some row leaves behind nearly every one of them, a head in each, for M/E rows. With P a pass without head and H(n) a
 * head for n rows, both measured in the same run at the same rows, nobody can gain more than
 * (R·P + H(M)) / (E·(P + H(M/E))) by leaving early. Where heads cost nothing this is R/E.
 *
 * E is the mean of all tokens of the run, and what was reached is the rate of all of them, too: tokens of one round
 * leave earlier than those of another, and a ratio of single rounds would be held against the wrong exits.
 *
 * A head is little beside a pass, and known less well: the bound is given for both ends of its interval, too. Heads that
 * are taken to be slow make a low bound, of which any batching reaches a large share.
 */
export function boundsOf({ loops, maxRows, fullDepth, depthWise, times }: BoundOptions): Bounds {
  const { meanExit, headsPerStep } = depthWise;
  const withHeads = (points: readonly TimePoint[]) => {
    const head = timeAt(points, maxRows);
    // Time is not linear in the number of heads: the mean over what the steps had, not the time of their mean.
    const headOfStep = meanOf(depthWise.steps.map(({ heads }) => timeAt(points, heads)));
    return { head, headOfStep, gain: (loops * times.pass + head) / (meanExit * (times.pass + headOfStep)) };
  };
  const { head, headOfStep, gain: gainWithHeads } = withHeads(times.heads);
  const ends = { low: withHeads(times.headEnds.low), high: withHeads(times.headEnds.high) };
  const endsOf = (pick: (end: ReturnType<typeof withHeads>) => number) => {
    const all = [pick(ends.low), pick(ends.high), pick({ head, headOfStep, gain: gainWithHeads })];
    return { low: Math.min(...all), high: Math.max(...all) };
  };
  const gain = loops / meanExit;
  const reached = rate(depthWise) / rate(fullDepth);
  const withoutHost = runPerToken(fullDepth) / runPerToken(depthWise);
  const host = withoutHost - reached;
  // A step with fewer rows takes nearly as long: what the missing rows would have made is what they cost.
  const emptyRows = withoutHost * (maxRows / depthWise.rowsPerStep - 1);
  const lostToHeads = gain - gainWithHeads;
  return {
    loops,
    meanExit,
    pass: times.pass,
    passFrom: times.passFrom,
    head,
    headEnds: endsOf((end) => end.head),
    headsPerStep,
    headOfStep,
    headOfStepEnds: endsOf((end) => end.headOfStep),
    gain,
    gainWithHeads,
    reached,
    shareOfGain: reached / gain,
    shareOfGainWithHeads: reached / gainWithHeads,
    shareOfGainWithHeadsEnds: endsOf((end) => reached / end.gain),
    losses: [
      { what: 'head', gain: lostToHeads },
      { what: 'host', gain: host },
      { what: 'empty-rows', gain: emptyRows },
      { what: 'other', gain: gain - reached - lostToHeads - host - emptyRows },
    ],
    parts: {
      attention: Math.max(0, times.evenPast - times.withoutPast),
      padding: Math.max(0, times.pass - times.evenPast),
    },
  };
}

function rate({ tokens, milliseconds }: SteadyState): number {
  return tokens / milliseconds;
}

/** Milliseconds inside ONNX Runtime that a token took. */
function runPerToken({ steps, tokens }: SteadyState): number {
  return steps.reduce((sum, { run }) => sum + run, 0) / tokens;
}

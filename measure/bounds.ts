import { timeAt } from '../simulate/time-at.ts';
import type { BenchRun } from './bench-document.ts';
import type { ProbeTimes } from './probe.ts';
import { meanOf } from './statistics.ts';
import type { SteadyState } from './steady-state.ts';

type Bounds = NonNullable<BenchRun['bounds']>;

/** What a bound is made of. */
export interface BoundOptions {
  readonly loops: number;
  readonly maxRows: number;
  readonly fullDepth: SteadyState;
  readonly depthWise: SteadyState;
  readonly times: ProbeTimes;
  /** Depth-wise over full depth, as measured. */
  readonly reached: number;
}

/**
 * What the exits that depth-wise batching ran with allow, against what it reached.
 *
 * Full depth runs, for M tokens, R passes and one head for M rows. Leaving after E loops on average takes E passes, and
 * as some row leaves behind nearly every one of them, a head in each, for M/E rows. With P a pass without head and H(n) a
 * head for n rows, both measured in the same run at the same rows, nobody can gain more than
 * (R·P + H(M)) / (E·(P + H(M/E))) by leaving early. Where heads cost nothing this is R/E.
 */
export function boundsOf({ loops, maxRows, fullDepth, depthWise, times, reached }: BoundOptions): Bounds {
  const { meanExit, headsPerStep } = depthWise;
  const head = timeAt(times.heads, maxRows);
  // Time is not linear in the number of heads: the mean over what the steps had, not the time of their mean.
  const headOfStep = meanOf(depthWise.steps.map(({ heads }) => timeAt(times.heads, heads)));
  const gain = loops / meanExit;
  const gainWithHeads = (loops * times.pass + head) / (meanExit * (times.pass + headOfStep));
  const withoutHost = runPerToken(fullDepth) / runPerToken(depthWise);
  const host = withoutHost - reached;
  // A step with fewer rows takes nearly as long: what the missing rows would have made is what they cost.
  const emptyRows = withoutHost * (maxRows / depthWise.rowsPerStep - 1);
  const lostToHeads = gain - gainWithHeads;
  return {
    loops,
    meanExit,
    pass: times.pass,
    head,
    headsPerStep,
    headOfStep,
    gain,
    gainWithHeads,
    reached,
    shareOfGain: reached / gain,
    shareOfGainWithHeads: reached / gainWithHeads,
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

/** Milliseconds inside ONNX Runtime that a token took. */
function runPerToken({ steps, tokens }: SteadyState): number {
  return steps.reduce((sum, { run }) => sum + run, 0) / tokens;
}

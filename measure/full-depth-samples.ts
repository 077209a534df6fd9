import type { TimePoint } from '../simulate/time-at.ts';
import type { StepRecord } from './contestant.ts';
import { steadySteps } from './steady-state.ts';

/** What parts of a step took while full depth was at work, in milliseconds inside ONNX Runtime. */
export interface FullDepthSamples {
  /** Steps of all rows without a head. */
  readonly passes: readonly number[];
  /** What the heads of all rows added to the pass right before them. */
  readonly heads: readonly TimePoint[];
}

/**
 * At full depth all rows have a head behind their last loop, and none before: what a step with heads took more than
 * the one before is their time, in the middle of real work.
 * @param rounds the steps of full depth, by rounds, all of them steady
 * @param maxRows steps with fewer rows are left out
 */
export function fullDepthSamples(rounds: readonly (readonly StepRecord[])[], maxRows: number): FullDepthSamples {
  const passes: number[] = [];
  const heads: TimePoint[] = [];
  for (const steps of rounds) {
    const steady = new Set(steadySteps(steps).filter(({ rows }) => rows.length === maxRows));
    for (const [i, step] of steps.entries()) {
      if (!steady.has(step)) continue;
      if (step.heads === 0) passes.push(step.run);
      // A step of a prompt in between leaves other things in the caches.
      const before = steps[i - 1];
      if (step.heads !== maxRows || before === undefined || !steady.has(before) || before.heads > 0) continue;
      heads.push({ count: maxRows, milliseconds: step.run - before.run });
    }
  }
  return { passes, heads };
}

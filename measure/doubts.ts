import type { BenchRun } from './bench-document.ts';

/** What a run is doubted by. */
export interface DoubtedRun {
  /** That all variants took, in turn. */
  readonly rounds: number;
  readonly othersCpu: BenchRun['othersCpu'];
  readonly bounds: readonly BenchRun['bounds'][];
}

/** Cores of other processes that a measurement on few threads does not notice. */
const quiet = 0.3;

/** More of a bound than this is nobody's merit. */
const wholeBound = 1.05;

/** Why the numbers of a run may not be worth much, a sentence each; none for a quiet machine and enough rounds. */
export function doubtsOf({ rounds, othersCpu, bounds }: DoubtedRun): readonly string[] {
  const doubts: string[] = [];
  if (othersCpu !== undefined && othersCpu.mean > quiet) {
    doubts.push(
      `Other processes kept ${othersCpu.mean.toFixed(2)} cores busy (${othersCpu.most.toFixed(2)} in the worst round): ` +
        'these numbers are theirs, too.',
    );
  }
  const shares = bounds.flatMap((bound) => (bound === undefined ? [] : [bound.shareOfGainWithHeads]));
  const most = Math.max(0, ...shares);
  if (most > wholeBound) {
    doubts.push(
      `${(100 * most).toFixed(1)} % of a bound cannot be reached: times of passes and heads are not known well enough.`,
    );
  }
  if (rounds <= 1) doubts.push('There was only one round, so nothing says how far the next would be from it.');
  return doubts;
}

import type { BenchRun } from './bench-document.ts';

/** What a run is doubted by. */
export interface DoubtedRun {
  /** That all variants took, in turn, and how many of them are of the steady state. */
  readonly rounds: number;
  readonly steadyRounds: number;
  readonly othersCpu: BenchRun['othersCpu'];
  readonly bounds: readonly BenchRun['bounds'][];
}

/** Cores of other processes that a measurement on few threads does not notice. */
const quiet = 0.3;

/** More of a bound than this is nobody's merit. */
const wholeBound = 1.05;

/** Why the numbers of a run may not be worth much, a sentence each; none for a quiet machine and enough rounds. */
export function doubtsOf({ rounds, steadyRounds, othersCpu, bounds }: DoubtedRun): readonly string[] {
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
  const unknown = 'so nothing says how far the next would be from it.';
  if (rounds <= 1) doubts.push(`There was only one round, ${unknown}`);
  else if (steadyRounds === 1) doubts.push(`Only one of ${rounds} rounds is of the steady state, ${unknown}`);
  return doubts;
}

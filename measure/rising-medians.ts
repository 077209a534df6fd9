import type { TimePoint } from '../simulate/time-at.ts';
import { type Interval, medianInterval, medianOf } from './statistics.ts';

/** Medians of times that cannot fall as the count rises, and where they are likely to be. */
export interface RisingMedians {
  /** Ascending by count, and in time. */
  readonly points: readonly TimePoint[];
  /** The ends of their intervals, which do not fall either; never on the wrong side of the points. */
  readonly low: readonly TimePoint[];
  readonly high: readonly TimePoint[];
}

/**
 * The rising times that lie nearest to all samples (least absolute deviation: pooling neighbours that fall, and taking
 * the median of the pool). Noise in one count is held against what its neighbours took: more heads never take less time.
 * None is below 0.
 * @param samples in any order, any number of each count
 */
export function risingMedians(samples: readonly TimePoint[]): RisingMedians {
  const counts = [...new Set(samples.map(({ count }) => count))].sort((a, b) => a - b);
  const of = counts.map((count) =>
    samples.filter((sample) => sample.count === count).map(({ milliseconds }) => milliseconds),
  );
  const medians = poolViolators(of).map((time) => Math.max(0, time));
  const intervals = of.map(medianInterval);
  const point = (times: readonly number[]) => counts.map((count, i) => ({ count, milliseconds: times[i]! }));
  return { points: point(medians), low: point(lowEnds(intervals, medians)), high: point(highEnds(intervals, medians)) };
}

/** A pool of neighbouring counts. */
interface Pool {
  readonly samples: readonly number[];
  readonly median: number;
  readonly counts: number;
}

function poolViolators(lists: readonly (readonly number[])[]): readonly number[] {
  const pools: Pool[] = [];
  for (const samples of lists) {
    let pool: Pool = { samples, median: medianOf(samples), counts: 1 };
    for (let before = pools.at(-1); before !== undefined && before.median > pool.median; before = pools.at(-1)) {
      pools.pop();
      const joined = [...before.samples, ...pool.samples];
      pool = { samples: joined, median: medianOf(joined), counts: before.counts + pool.counts };
    }
    pools.push(pool);
  }
  return pools.flatMap(({ median, counts }) => new Array<number>(counts).fill(median));
}

/** At least what is sure of fewer. */
function lowEnds(intervals: readonly Interval[], medians: readonly number[]): readonly number[] {
  let least = 0;
  return intervals.map(({ low }, i) => {
    least = Math.max(least, low);
    return Math.min(least, medians[i]!);
  });
}

/** At most what more may take. */
function highEnds(intervals: readonly Interval[], medians: readonly number[]): readonly number[] {
  let most = Number.POSITIVE_INFINITY;
  return intervals
    .map(({ high }, i) => ({ high, median: medians[i]! }))
    .toReversed()
    .map(({ high, median }) => {
      most = Math.min(most, high);
      return Math.max(most, median);
    })
    .toReversed();
}

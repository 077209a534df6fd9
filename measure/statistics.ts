/** A number that was measured several times: what came of every time, and the middle and the ends of it. */
export interface Spread {
  readonly samples: number[];
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** @param samples at least one */
export function spreadOf(samples: readonly number[]): Spread {
  const sorted = ascending(samples);
  return { samples: [...samples], median: quantileOf(sorted, 0.5), low: sorted[0]!, high: sorted.at(-1)! };
}

/** @param samples at least one */
export function medianOf(samples: readonly number[]): number {
  return quantileOf(ascending(samples), 0.5);
}

/** @param samples at least one */
export function meanOf(samples: readonly number[]): number {
  return sumOf(samples) / samples.length;
}

/** Where a median is likely to be. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Where the median of what the samples were drawn from is, 19 times out of 20, whatever its distribution: between the
 * two samples of such a rank that a fair coin lands outside them as seldom. Of fewer than six samples it is their least
 * and largest, which is less sure: nothing better can be said.
 * @param samples at least one, independent of each other
 */
export function medianInterval(samples: readonly number[]): Interval {
  const sorted = ascending(samples);
  const place = endRank(sorted.length);
  return { low: sorted[place]!, high: sorted[sorted.length - 1 - place]! };
}

/** Of `count` coins, no more than so many show heads in fewer than one of 40 throws; 0 where that cannot be said. */
function endRank(count: number): number {
  // Where halves to the power of the count are no numbers any more, the binomial is a bell.
  if (count > 1000) return Math.floor(count / 2 - 0.98 * Math.sqrt(count)) - 1;
  let rank = 0;
  let chance = 2 ** -count;
  for (let sum = chance; sum <= 0.025; rank++) {
    chance *= (count - rank) / (rank + 1);
    sum += chance;
  }
  return Math.max(0, rank - 1);
}

export function sumOf(samples: readonly number[]): number {
  return samples.reduce((sum, sample) => sum + sample, 0);
}

/** @param samples at least one, and more of them than a call can have arguments */
export function extentOf(samples: readonly number[]): { readonly least: number; readonly most: number } {
  return {
    least: samples.reduce((least, sample) => Math.min(least, sample), Number.POSITIVE_INFINITY),
    most: samples.reduce((most, sample) => Math.max(most, sample), Number.NEGATIVE_INFINITY),
  };
}

/** The value that `share` of the samples do not exceed, linear between neighbours: the median of two is their mean. */
function quantileOf(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)]!;
  const above = sorted[Math.ceil(place)]!;
  return below + (above - below) * (place - Math.floor(place));
}

function ascending(samples: readonly number[]): readonly number[] {
  return [...samples].sort((a, b) => a - b);
}

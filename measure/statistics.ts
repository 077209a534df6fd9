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

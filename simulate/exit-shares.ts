/** Share of tokens that leave behind each loop: entry n is that of loop n + 1, and all add up to 1. */
export type ExitShares = readonly number[];

/** Mean loop behind which a token leaves. */
export function meanExit(shares: ExitShares): number {
  return shares.reduce((sum, share, i) => sum + share * (i + 1), 0);
}

/** Share of tokens that run each depth, that is, leave behind a later loop than the depth's number: 1 at depth 0. */
export function sharesByDepth(shares: ExitShares): readonly number[] {
  const running: number[] = [];
  let left = 0;
  for (const share of shares) {
    // Rounding of a sum may leave a share of -1e-17.
    running.push(Math.max(0, 1 - left));
    left += share;
  }
  return running;
}

/** Shares as a recorded run has them; undefined when there is no exit at all. */
export function sharesOf(exits: Iterable<number>, loops: number): ExitShares | undefined {
  const counts = new Array<number>(loops).fill(0);
  let all = 0;
  for (const exit of exits) {
    counts[exit - 1]! += 1;
    all += 1;
  }
  return all === 0 ? undefined : counts.map((count) => count / all);
}

/**
 * The shares that have a mean and say nothing else: those of largest entropy, which fall or rise by the same factor from
 * each exit to the next. With two exits there are no others.
 * @param mean between the first exit and `loops`
 * @param after loops behind which a token may leave; the last one is always an exit
 */
export function sharesOfMean(mean: number, loops: number, after: readonly number[]): ExitShares {
  const exits = [...after.filter((loop) => loop < loops), loops];
  const shares = (factor: number): ExitShares => {
    // Powers are taken from the end that is the larger, so that none overflows.
    const weights = exits.map((exit) => (factor <= 1 ? factor ** (exit - exits[0]!) : factor ** (exit - loops)));
    const sum = weights.reduce((a, b) => a + b, 0);
    const all = new Array<number>(loops).fill(0);
    exits.forEach((exit, i) => {
      all[exit - 1] = weights[i]! / sum;
    });
    return all;
  };
  if (mean <= exits[0]!) return shares(0);
  if (mean >= loops) return shares(Number.POSITIVE_INFINITY).map((_, i) => (i === loops - 1 ? 1 : 0));
  let low = -60;
  let high = 60;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (meanExit(shares(Math.exp(middle))) < mean) low = middle;
    else high = middle;
  }
  return shares(Math.exp((low + high) / 2));
}

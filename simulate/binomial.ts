/**
 * Probability of each number of successes, 0 to `trials`, when each of `trials` succeeds with `probability`. Built from
 * the likeliest number outwards, so that nothing underflows where it matters.
 */
export function binomial(trials: number, probability: number): readonly number[] {
  const all = new Array<number>(trials + 1).fill(0);
  if (probability <= 0 || probability >= 1) {
    all[probability <= 0 ? 0 : trials] = 1;
    return all;
  }
  const odds = probability / (1 - probability);
  const likeliest = Math.min(trials, Math.floor((trials + 1) * probability));
  all[likeliest] = 1;
  for (let n = likeliest; n < trials; n++) all[n + 1] = (all[n]! * odds * (trials - n)) / (n + 1);
  for (let n = likeliest; n > 0; n--) all[n - 1] = (all[n]! * n) / (odds * (trials - n + 1));
  const sum = all.reduce((a, b) => a + b, 0);
  return all.map((p) => p / sum);
}

/** Mean of `of(n)` where n has the given probabilities. */
export function expectation(probabilities: readonly number[], of: (n: number) => number): number {
  return probabilities.reduce((sum, p, n) => (p === 0 ? sum : sum + p * of(n)), 0);
}

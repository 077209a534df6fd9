import { uniform } from '../runtime/random.ts';
import { sharesOfMean } from '../simulate/exit-shares.ts';

/**
 * Exit loops for `count` tokens, in random order. Which share of them leaves where says nothing but the mean
 * ({@link sharesOfMean}); dealt out in whole tokens, their mean is as near to it as whole tokens allow.
 * @param after loops behind which a token may leave; the last one always is
 */
export function makeExits(
  loops: number,
  after: readonly number[],
  mean: number,
  count: number,
  seed: number,
): readonly number[] {
  const exits = sharesOfMean(mean, loops, after).flatMap((share, i) =>
    Array<number>(Math.floor(share * count + 1e-9)).fill(i + 1),
  );
  const allowed = [...after.filter((loop) => loop < loops), loops];
  // What rounding left over goes where it brings the mean nearest.
  let sum = exits.reduce((total, exit) => total + exit, 0);
  while (exits.length < count) {
    const missing = mean * (exits.length + 1) - sum;
    const exit = allowed.reduce((best, loop) => (Math.abs(loop - missing) < Math.abs(best - missing) ? loop : best));
    exits.push(exit);
    sum += exit;
  }
  for (let i = exits.length - 1; i > 0; i--) {
    const j = Math.floor(uniform(seed, i) * (i + 1));
    [exits[i], exits[j]] = [exits[j]!, exits[i]!];
  }
  return exits;
}

const lanes = 16;

/**
 * Tokens of every row of a step whose longest row has so many. Rows of several tokens are padded to a multiple of 16:
 * what a softmax sums stands then in the same vector lanes whatever the longest row is, so that a row's numbers do not
 * depend on the others, to the bit.
 */
export function paddedTokens(longest: number): number {
  return longest <= 1 ? 1 : Math.ceil(longest / lanes) * lanes;
}

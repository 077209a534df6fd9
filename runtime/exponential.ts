/** 2^(i/256), as products of repeated square roots of 2, which are the same on every machine. */
const fractions = Float64Array.from({ length: 256 }, (_, i) => {
  let product = 1;
  let root = 2;
  for (let bit = 128; bit > 0; bit >>= 1) {
    root = Math.sqrt(root);
    if (i & bit) product *= root;
  }
  return product;
});

/** 2^-i, down to the smallest number there is. */
const powers = Float64Array.from({ length: 1075 }, (_, i) => 2 ** -i);

/**
 * e^x for x of at most 0, to 13 digits; 0 where it would be less than 1e-300. Twice as fast as Math.exp, of which a draw
 * needs as many as a vocabulary has tokens, and the same on every machine, which Math.exp need not be.
 */
export function exponential(x: number): number {
  // NaN and -Infinity, too.
  if (!(x > -690)) return x <= -690 ? 0 : Number.NaN;
  const steps = Math.floor(x * (256 / Math.LN2)) | 0;
  const rest = x - steps * (Math.LN2 / 256);
  const series = 1 + rest * (1 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24))));
  return fractions[steps & 255]! * powers[-(steps >> 8)]! * series;
}

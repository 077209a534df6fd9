/** The error function, to about 1e-15: e^(−x²) · 2/√π · Σ 2ⁿ x^(2n+1) / (1·3·5 … (2n+1)), whose terms are all positive. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  // 1 − erf(6) is 2e-17: less than float64 can tell from 1.
  if (Math.abs(x) >= 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

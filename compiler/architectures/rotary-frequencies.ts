/**
 * Inverse frequencies as transformers' modeling_rope_utils.py computes them: in float32, rounded after every step,
 * because models were trained with the rounded ones.
 */

const { fround } = Math;

/** base^(-2i / dim) for i from 0 to ceil(dim / 2). */
export function plainFrequencies(theta: number, dim: number): readonly number[] {
  return powers(theta, dim).map((power) => fround(1 / power));
}

/** Position interpolation: every frequency divided by `factor`. */
export function scaledFrequencies(theta: number, dim: number, factor: number): readonly number[] {
  return plainFrequencies(theta, dim).map((frequency) => fround(frequency / fround(factor)));
}

export interface Llama3Scaling {
  readonly factor: number;
  readonly low: number;
  readonly high: number;
  /** Positions of the original training. */
  readonly original: number;
}

/** Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between interpolated. */
export function llama3Frequencies(theta: number, dim: number, scaling: Llama3Scaling): readonly number[] {
  const { factor, low, high, original } = scaling;
  const lowWavelength = fround(original / low);
  const highWavelength = fround(original / high);
  return plainFrequencies(theta, dim).map((frequency) => {
    // A number divided by a torch tensor is its reciprocal times the number: two roundings.
    const wavelength = fround(fround(1 / frequency) * fround(2 * Math.PI));
    if (wavelength > lowWavelength) return fround(frequency / fround(factor));
    if (wavelength < highWavelength) return frequency;
    const ratio = fround(fround(1 / wavelength) * fround(original));
    const smooth = fround(fround(ratio - fround(low)) / fround(high - low));
    const stretched = fround(fround(fround(1 - smooth) * frequency) / fround(factor));
    return fround(stretched + fround(smooth * frequency));
  });
}

export interface YarnScaling {
  readonly factor: number;
  /** Positions of the original training. */
  readonly original: number;
  /** Undefined: from `factor` and the mscales. */
  readonly attentionFactor: number | undefined;
  readonly mscale: number | undefined;
  readonly mscaleAllDim: number | undefined;
  readonly betaFast: number;
  readonly betaSlow: number;
  /** Round the range in which frequencies are interpolated to whole dimensions. */
  readonly truncate: boolean;
}

/** YaRN (arXiv 2309.00071): a ramp from kept to interpolated frequencies, and a factor for the scores. */
export function yarnFrequencies(
  theta: number,
  dim: number,
  scaling: YarnScaling,
): { readonly inverseFrequencies: readonly number[]; readonly attentionFactor: number } {
  const { factor, original, mscale, mscaleAllDim } = scaling;
  const attentionFactor =
    scaling.attentionFactor ??
    (mscale !== undefined && mscaleAllDim !== undefined
      ? yarnScale(factor, mscale) / yarnScale(factor, mscaleAllDim)
      : yarnScale(factor, 1));
  const correctionDim = (rotations: number) =>
    (dim * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const fast = correctionDim(scaling.betaFast);
  const slow = correctionDim(scaling.betaSlow);
  const from = Math.max(scaling.truncate ? Math.floor(fast) : fast, 0);
  const until = Math.min(scaling.truncate ? Math.ceil(slow) : slow, dim - 1);
  // As there: a ramp of no width must not divide by zero.
  const width = from === until ? until + 0.001 - from : until - from;
  const inverseFrequencies = powers(theta, dim).map((power, i) => {
    const ramp = Math.min(Math.max(fround(fround(i - fround(from)) / fround(width)), 0), 1);
    const kept = fround(1 - ramp);
    const extrapolated = fround(1 / power);
    const interpolated = fround(1 / fround(fround(factor) * power));
    return fround(fround(interpolated * fround(1 - kept)) + fround(extrapolated * kept));
  });
  return { inverseFrequencies, attentionFactor: fround(attentionFactor) };
}

function yarnScale(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}

function powers(theta: number, dim: number): readonly number[] {
  return Array.from({ length: Math.ceil(dim / 2) }, (_, i) => fround(fround(theta) ** fround((2 * i) / dim)));
}

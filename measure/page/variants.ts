import type { BenchRun, BenchVariant, VariantKind } from '../bench-document.ts';

/** The first variant of a kind; of depth-wise batching that is the plain one. */
export function variantOf(run: BenchRun, kind: VariantKind): BenchVariant | undefined {
  return run.variants.find((variant) => variant.kind === kind);
}

/** Tokens per second to compare by: in the steady state if every variant that is compared has one. */
export function rateOf(variant: BenchVariant, steady: boolean): BenchVariant['tokensPerSecond'] {
  return (steady ? variant.steady?.tokensPerSecond : undefined) ?? variant.tokensPerSecond;
}

/** Whether all ways to batch were measured in the steady state; a graph of another form has none. */
export function hasSteadyRates(run: BenchRun): boolean {
  return run.variants.every(({ kind, steady }) => steady !== undefined || kind === 'unrolled');
}

/** A variant's rate over that of full depth: round by round where that was measured, since machines get slower and faster. */
export function overFullDepth(run: BenchRun, variant: BenchVariant): number | undefined {
  const full = variantOf(run, 'full-depth');
  if (full === undefined) return undefined;
  const steady = hasSteadyRates(run);
  const measured = steady ? variant.steady?.gain?.median : undefined;
  const gain = variant === full ? 1 : (measured ?? rateOf(variant, steady).median / rateOf(full, steady).median);
  // Who never got to give a token is compared with nobody.
  return rateOf(full, steady).median > 0 ? gain : undefined;
}

/** One rate over another, or undefined while one is missing. */
export function gainOf(run: BenchRun, kind: VariantKind, over: VariantKind): number | undefined {
  const [a, b] = [variantOf(run, kind), variantOf(run, over)].map((each) => each && overFullDepth(run, each));
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

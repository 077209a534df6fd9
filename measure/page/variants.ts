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

/** One rate over another, or undefined while one is missing. */
export function gainOf(run: BenchRun, kind: VariantKind, over: VariantKind): number | undefined {
  const [a, b] = [variantOf(run, kind), variantOf(run, over)];
  if (a === undefined || b === undefined) return undefined;
  const steady = hasSteadyRates(run);
  return rateOf(a, steady).median / rateOf(b, steady).median;
}

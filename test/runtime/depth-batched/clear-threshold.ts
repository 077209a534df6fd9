import type { KvPolicyReference, PolicyRequest, PolicyRun } from '../../support/kv-policy-reference.ts';

/**
 * A threshold at which some tokens of a sequence leave early and others do not, and that no confidence comes so near
 * that float32 could mistake it; undefined where there is none.
 * @param after loops behind which a token may leave
 */
export async function clearThreshold(
  reference: KvPolicyReference,
  request: Omit<PolicyRequest, 'leaves'>,
  after: readonly number[],
): Promise<number | undefined> {
  const { policy } = request;
  const offered = ({ confidences }: PolicyRun) =>
    confidences.flatMap((list, i) => (i === 0 ? [] : after.flatMap((loop) => list[loop - 1] ?? [])));
  const never = await reference.generate({ ...request, leaves: { kind: 'threshold', threshold: 1, after } });
  const sorted = offered(never).toSorted((a, b) => a - b);
  const gaps = sorted
    .slice(1)
    .map((high, i) => ({ middle: (high + sorted[i]!) / 2, size: high / sorted[i]! }))
    .toSorted((a, b) => b.size - a.size);
  for (const { middle: threshold } of gaps) {
    // Who leaves changes what others attend to, and so their confidences.
    const run = await reference.generate({ ...request, leaves: { kind: 'threshold', threshold, after } });
    const clear = offered(run).every((sure) => Math.abs(sure / threshold - 1) > (policy === 'shared' ? 1e-2 : 1e-3));
    if (clear && new Set(run.exits.slice(1)).size > 1) return threshold;
  }
  return undefined;
}

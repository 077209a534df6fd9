import type { PackageManifest } from '../../files/manifest.ts';
import { mainGraph } from '../../files/package.ts';
import type { SourceModel } from '../read/source-model.ts';
import type { SizeRange } from './call.ts';
import { type FewRuns, isLarge } from './verify-against-model.ts';

/**
 * What is run where every call loads an engine: as few tokens as meet prompts of several lengths, rows at different
 * depths in one step, a second page, decoding on a cache, and exits. Sizes are those that the engines take.
 * @param sizes of the main graph's profiles
 */
export function engineRuns(manifest: PackageManifest, model: SourceModel, sizes: readonly SizeRange[]): FewRuns {
  const { cache, form, tensorrt } = manifest;
  const maxPositions = Math.min(model.spec.maxPositions, tensorrt?.policy.maxContext ?? Number.POSITIVE_INFINITY);
  // A step graph is looked at as the loop form.
  if (form !== 'unrolled') {
    // Across the end of a page, the next token then looks into two; but in three chunks at most.
    const long = isLarge(model) ? 5 : (cache.pageSize ?? 1) + 3;
    const most = 3 * (tensorrt?.policy.prefillChunk ?? long);
    const lengths = [long, 4, 1].map((length) => Math.min(length, most));
    const rows = { name: 'three rows padded on the left', lengths, side: 'left', later: [1] } as const;
    const exits = { name: 'two rows, token by token', lengths: [2, 2], side: 'left', later: [] } as const;
    return { runs: [rows], exits: [exits], maxPositions };
  }
  const rows = largest(sizes, (size) => (size('sequence') > 1 ? size('batch') : 1));
  const tokens = largest(sizes, (size) => size('sequence'));
  const lengths = (wanted: readonly number[]) => wanted.slice(0, Math.max(1, rows)).map((n) => Math.min(n, tokens));
  return {
    runs: [
      { name: 'rows padded on the left', lengths: lengths([23, 4, 1]), side: 'left', later: [1] },
      { name: 'rows padded on the right', lengths: lengths([2, 8, 5]), side: 'right', later: [1, 1] },
    ],
    exits: [],
    maxPositions,
  };
}

/** Calls of engines that a run of a step graph takes at most, where rows start one after the other. */
export function expectedCalls(manifest: PackageManifest, { runs, exits }: FewRuns): number {
  if (manifest.form === 'unrolled') return runs.reduce((sum, { later }) => sum + 1 + later.length, 0);
  const { loops } = manifest.recursion;
  const steps = (rows: number) => loops + Math.min(rows, loops) - 1;
  const chunk = manifest.tensorrt?.policy.prefillChunk ?? Number.POSITIVE_INFINITY;
  const whole = runs.map(({ lengths, later }) => {
    const chunks = Math.ceil(Math.max(...lengths) / chunk);
    return (chunks + later.length) * steps(lengths.length);
  });
  const single = exits.map(({ lengths }) => Math.max(...lengths) * steps(lengths.length));
  const propagate = manifest.tensorrt?.engines.filter(({ graph }) => graph !== mainGraph(manifest).file) ?? [];
  const others = propagate.reduce((sum, { profiles }) => sum + profiles.length, 0);
  return [...whole, ...single].reduce((sum, n) => sum + n, others);
}

function largest(sizes: readonly SizeRange[], of: (size: (dim: string) => number) => number): number {
  return Math.max(...sizes.map(({ most }) => of((dim) => most[dim] ?? Number.POSITIVE_INFINITY)));
}

import type { PackageManifest, TensorrtFacts } from '../../files/manifest.ts';
import type { PlanStamp } from '../../files/plan-stamp.ts';
import { formatBytes } from './format-bytes.ts';
import { printable } from './printable.ts';

type Engine = TensorrtFacts['engines'][number];

/** The engines of a package: each with what it was built with, and below it its profiles. */
export function engineRows(
  { graphs }: Pick<PackageManifest, 'graphs'>,
  { engines }: TensorrtFacts,
  plans: readonly PlanStamp[],
): readonly (readonly string[])[] {
  return engines.flatMap((engine) => [
    [printable(engine.plan), builtWith(plans.find(({ file }) => file === engine.plan))],
    ...engine.profiles.map((profile) => [
      `  ${printable(profile.name)}`,
      sizesOf(graphs[engine.graph]?.inputs ?? [], profile),
    ]),
  ]);
}

function builtWith(stamp: PlanStamp | undefined): string {
  if (stamp === undefined) return 'not built';
  const { size, tensorrt, gpu, computeCapability } = stamp;
  return `${formatBytes(size)}, TensorRT ${printable(tensorrt)}, ${printable(gpu)} (${printable(computeCapability)})`;
}

/** `rows 1..8..16, tokens 1`: what each size is at least, what it is tuned for, and at most; one number where all agree. */
function sizesOf(inputs: PackageManifest['graphs'][string]['inputs'], { inputs: ranges }: Engine['profiles'][number]) {
  const sizes = new Map<string, string>();
  for (const { name, dims } of inputs) {
    const range = ranges[name];
    if (range === undefined) continue;
    dims.forEach((dim, axis) => {
      // Sums follow from their parts.
      if (typeof dim !== 'string' || dim.includes('+') || sizes.has(dim)) return;
      const [min, opt, max] = [range.min[axis], range.opt[axis], range.max[axis]];
      sizes.set(dim, `${printable(dim)} ${min === max ? `${min}` : `${min}..${opt}..${max}`}`);
    });
  }
  return [...sizes.values()].join(', ');
}

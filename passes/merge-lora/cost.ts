import type { Graph } from '../../ir/graph.ts';
import { fileWeights, weightKey } from '../../ir/weights.ts';
import type { LoraStrategy } from '../merge-lora.ts';
import { scaling } from './scale.ts';
import type { LoraUpdate } from './updates.ts';

/** What one token costs in the products that LoRA changes, and what the package grows by. */
export interface LoraCost {
  readonly strategy: LoraStrategy;
  /** Of weights, computing in f32. */
  readonly bytesRead: number;
  readonly multiplications: number;
  readonly nodes: number;
  /** Into the package, beside the checkpoint's own files. */
  readonly bytesWritten: number;
  readonly microseconds: number;
}

/**
 * Of ONNX Runtime 1.30 on 2 cores of an AMD EPYC (Zen 5): weights come from memory, and each node costs something
 * however small it is. Chains of 24 projections with rank-16 updates gave 2.7 us for a small product and about 1.5 us
 * for anything else at one row.
 */
const machine = { bytesPerMicrosecond: 42_000, multiplicationsPerMicrosecond: 220_000, product: 2.7, other: 1.5 };

/** The most that `auto` lets a package grow, as a part of the weights that the graph refers to. */
const growth = 0.01;

export function loraCosts(
  updates: readonly LoraUpdate[],
  groups: readonly (readonly LoraUpdate[])[],
): readonly LoraCost[] {
  const sum = (of: (update: LoraUpdate) => number) => updates.reduce((total, u) => total + u.runs * of(u), 0);
  const base = sum((u) => u.inputs * u.outputs);
  const factors = sum((u) => u.rank * (u.inputs + u.outputs));
  const scaled = (list: readonly LoraUpdate[]) => (list.some((u) => scaling(u) === 'product') ? 1 : 0);
  const plain = { bytesWritten: 0, bytesRead: 4 * (base + factors), multiplications: base + factors };
  const costs = [
    {
      ...plain,
      strategy: 'keep' as const,
      products: sum(() => 3),
      others: sum((u) => 1 + scaled([u])),
    },
    {
      ...plain,
      strategy: 'concatenate' as const,
      products: groups.reduce((total, group) => total + group[0]!.runs * (1 + 2 * group.length), 0),
      others: groups.reduce(
        (total, group) => total + group[0]!.runs * (group.length + (group.length > 1 ? 1 : 0) + scaled(group)),
        0,
      ),
    },
    ...(updates.every((u) => typeof u.base !== 'string')
      ? [
          {
            strategy: 'bake' as const,
            bytesRead: 4 * base,
            multiplications: base,
            bytesWritten: bakedBytes(updates),
            products: sum(() => 1),
            others: 0,
          },
        ]
      : []),
  ];
  return costs.map(({ products, others, ...cost }) => {
    const { bytesPerMicrosecond, multiplicationsPerMicrosecond } = machine;
    const moving = Math.max(cost.bytesRead / bytesPerMicrosecond, cost.multiplications / multiplicationsPerMicrosecond);
    const microseconds = moving + products * machine.product + others * machine.other;
    return { ...cost, nodes: products + others, microseconds };
  });
}

/** The fastest of those that do not make the package grow, and why, in words. */
export function chooseStrategy(
  costs: readonly LoraCost[],
  graph: Graph,
): { readonly strategy: LoraStrategy; readonly why: string } {
  const stored = new Map(graph.weights.flatMap(({ expr }) => fileWeights(expr)).map((w) => [weightKey(w), w.length]));
  const limit = growth * [...stored.values()].reduce((total, length) => total + length, 0);
  const allowed = costs.filter((cost) => cost.bytesWritten <= limit);
  const best = allowed.reduce((a, b) => (b.microseconds < a.microseconds ? b : a));
  const faster = costs.filter((cost) => cost.microseconds < best.microseconds);
  const refused = faster.map(({ strategy, bytesWritten }) => `${strategy} would write ${formatBytes(bytesWritten)}`);
  const why = [`about ${best.microseconds.toFixed(0)} us a token`, ...refused].join('; ');
  return { strategy: best.strategy, why };
}

export function formatCost(cost: LoraCost): string {
  const written = cost.bytesWritten === 0 ? 'nothing' : formatBytes(cost.bytesWritten);
  return (
    `${cost.strategy}: ${formatBytes(cost.bytesRead)} of weights, ${(cost.multiplications / 1e6).toFixed(3)} million ` +
    `multiplications and ${cost.nodes} nodes a token, about ${cost.microseconds.toFixed(0)} us; writes ${written}`
  );
}

function bakedBytes(updates: readonly LoraUpdate[]): number {
  const sizes = new Map<string, number>();
  for (const { a, b, base, scales, inputs, outputs } of updates) {
    if (typeof base === 'string' || a.kind !== 'weight' || b.kind !== 'weight') continue;
    sizes.set([base.expr, a.expr, b.expr].map(weightKey).join() + scales, 4 * inputs * outputs);
  }
  return [...sizes.values()].reduce((total, size) => total + size, 0);
}

function formatBytes(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

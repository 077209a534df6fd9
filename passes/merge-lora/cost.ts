import type { Graph } from '../../ir/graph.ts';
import { fileWeights, weightKey } from '../../ir/weights.ts';
import type { LoraStrategy } from '../merge-lora.ts';
import type { DepthUpdate } from './depth-updates.ts';
import { scaling } from './scale.ts';
import type { LoraUpdate } from './updates.ts';

/** What one step costs in the products that LoRA changes, and what the package grows by. */
export interface LoraCost {
  readonly strategy: LoraStrategy;
  /** Of the step: 1, one token, or as many as a step is taken to have where rows have depths of their own. */
  readonly rows: number;
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

/** Rows of a step, where each has a depth of its own. */
const rowsByDepth = 8;

/** Updates of a graph, and those that can share a product with A. */
export interface GroupedUpdates {
  readonly groups: readonly (readonly LoraUpdate[])[];
  readonly byDepth: readonly (readonly DepthUpdate[])[];
}

/** Of a strategy: what is read and multiplied, and how many nodes do that, products and others. */
interface Work {
  readonly strategy: LoraStrategy;
  readonly bytesRead: number;
  readonly multiplications: number;
  readonly products: number;
  readonly others: number;
  readonly bytesWritten?: number;
}

/** What the strategies cost that there are for these updates. */
export function loraCosts({ groups, byDepth }: GroupedUpdates): readonly LoraCost[] {
  const rows = byDepth.length > 0 ? rowsByDepth : 1;
  const plain = workOfAll(groups, rows);
  const perDepth = workByDepth(byDepth, rows);
  const strategies = ['keep', 'concatenate', byDepth.length > 0 ? 'gather' : 'bake'] as const;
  return strategies.flatMap((strategy): readonly LoraCost[] => {
    // What gathering has no say in is kept.
    const own = plain.find((work) => work.strategy === (strategy === 'gather' ? 'keep' : strategy));
    const other = perDepth.find((work) => work.strategy === strategy);
    if (!own) return [];
    const { bytesPerMicrosecond, multiplicationsPerMicrosecond } = machine;
    const sum = (of: (work: Work) => number): number => of(own) + (other ? of(other) : 0);
    const bytesRead = sum((work) => work.bytesRead);
    const multiplications = sum((work) => work.multiplications);
    const [products, others] = [sum((work) => work.products), sum((work) => work.others)];
    const moving = Math.max(bytesRead / bytesPerMicrosecond, multiplications / multiplicationsPerMicrosecond);
    const microseconds = moving + products * machine.product + others * machine.other;
    const bytesWritten = own.bytesWritten ?? 0;
    return [{ strategy, rows, bytesRead, multiplications, nodes: products + others, bytesWritten, microseconds }];
  });
}

function workOfAll(groups: readonly (readonly LoraUpdate[])[], rows: number): readonly Work[] {
  const updates = groups.flat();
  const sum = (of: (update: LoraUpdate) => number) => updates.reduce((total, u) => total + u.runs * of(u), 0);
  const base = sum((u) => u.inputs * u.outputs);
  const factors = sum((u) => u.rank * (u.inputs + u.outputs));
  const scaled = (list: readonly LoraUpdate[]) => (list.some((u) => scaling(u) === 'product') ? 1 : 0);
  const plain = { bytesRead: 4 * (base + factors), multiplications: rows * (base + factors) };
  const baked = {
    strategy: 'bake' as const,
    bytesRead: 4 * base,
    multiplications: rows * base,
    bytesWritten: bakedBytes(updates),
    products: sum(() => 1),
    others: 0,
  };
  return [
    {
      ...plain,
      strategy: 'keep',
      products: sum(() => 3),
      others: sum((u) => 1 + scaled([u])),
    },
    {
      ...plain,
      strategy: 'concatenate',
      products: groups.reduce((total, group) => total + group[0]!.runs * (1 + 2 * group.length), 0),
      others: groups.reduce(
        (total, group) => total + group[0]!.runs * (group.length + (group.length > 1 ? 1 : 0) + scaled(group)),
        0,
      ),
    },
    ...(updates.every((u) => typeof u.base !== 'string') ? [baked] : []),
  ];
}

/** The mask that tells the columns of a row's depth is made once for all layers, and not counted. */
function workByDepth(groups: readonly (readonly DepthUpdate[])[], rows: number): readonly Work[] {
  const updates = groups.flat();
  const sum = (of: (update: DepthUpdate) => number) => updates.reduce((total, u) => total + of(u), 0);
  const ranks = ({ depths }: DepthUpdate) => depths.map(({ rank }) => rank);
  const base = sum((u) => u.inputs * u.outputs);
  const factors = sum((u) => ranks(u).reduce((a, b) => a + b, 0) * (u.inputs + u.outputs));
  const ofOneRow = sum((u) => Math.max(...ranks(u)) * (u.inputs + u.outputs));
  const joined = { bytesRead: 4 * (base + factors), multiplications: rows * (base + factors) };
  return [
    // The sum of both products is the bias of the second; the mask is one product more, element by element.
    { ...joined, strategy: 'keep', products: sum(() => 3), others: sum(() => 1) },
    {
      ...joined,
      strategy: 'concatenate',
      products: groups.reduce((total, group) => total + 1 + 2 * group.length, 0),
      others: groups.reduce((total, group) => total + (group.length > 1 ? 2 : 1), 0),
    },
    {
      // Each row's factors are read, written and read again; then two lookups, the scale and two reshapes.
      strategy: 'gather',
      bytesRead: 4 * base + 12 * rows * ofOneRow,
      multiplications: rows * (base + ofOneRow),
      products: sum(() => 3),
      others: sum(() => 5),
    },
  ];
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
  const why = [`about ${best.microseconds.toFixed(0)} us ${unitOf(best)}`, ...refused].join('; ');
  return { strategy: best.strategy, why };
}

export function formatCost(cost: LoraCost): string {
  const written = cost.bytesWritten === 0 ? 'nothing' : formatBytes(cost.bytesWritten);
  return (
    `${cost.strategy}: ${formatBytes(cost.bytesRead)} of weights, ${(cost.multiplications / 1e6).toFixed(3)} million ` +
    `multiplications and ${cost.nodes} nodes ${unitOf(cost)}, about ${cost.microseconds.toFixed(0)} us; writes ${written}`
  );
}

function unitOf({ rows }: LoraCost): string {
  return rows === 1 ? 'a token' : `a step of ${rows} rows`;
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

import type { Graph, Stage } from '../ir/graph.ts';
import { chooseStrategy, formatCost, loraCosts } from './merge-lora/cost.ts';
import { type DepthUpdate, findDepthUpdates } from './merge-lora/depth-updates.ts';
import { loraRewrite } from './merge-lora/rewrite.ts';
import { findUpdates, type LoraUpdate } from './merge-lora/updates.ts';
import type { PassContext, StablePass } from './pass.ts';
import type { Precision } from './set-precision.ts';

/** How LoRA updates become plain products; see {@link mergeLora}. */
export type LoraStrategy = 'bake' | 'keep' | 'concatenate' | 'gather';

export interface MergeLoraOptions {
  /** `auto` takes what costs least by a model that prints its numbers, and never makes the package grow. */
  readonly strategy: LoraStrategy | 'auto';
  /** What products will be computed in; by default f32. */
  readonly compute?: Precision;
}

/**
 * Makes plain products of LoRA updates.
 *
 * Given: `linear(x, W) + low_rank(x, A, B, s)`, in loop bodies too, where A and B may be slices of stacked factors; and
 * `linear(x, W) + low_rank_by_depth(x, A, B, s, depth)` with stacked factors.
 * Result, by strategy:
 * - `bake`: `linear(x, W + s·BA)`, a weight of its own for every depth, written in f32. Only where all four are weights
 *   and numbers, hence not in a loop's body; updates that cannot be baked are kept, with the reason as a note.
 * - `keep`: `linear(x, W) + linear(s·linear(x, A), B)`. A scale that is a power of two multiplies A before the graph
 *   runs, which is exact; any other multiplies the product with A, which is only as wide as the rank. By depth: A and B
 *   are those of all depths side by side, without the zeros that stacking filled up, and the product with A is
 *   multiplied by the scale in the columns of the row's depth and by 0 in the others. In f16, where a column of another
 *   depth may overflow and 0 times infinity is no number, it is replaced by 0 there.
 * - `concatenate`: as `keep`, but updates that share x (q, k, v; gate, up) share one product with all their A's.
 * - `gather`: updates by depth stay, for take-apart to look up the factors of every row; others are kept.
 * Invariants: no weight of the checkpoint is copied or changed but by `bake`; W is not touched by the others.
 * Leaves to cse: the columns of each depth, which all layers of the same ranks make alike.
 * Edge cases: updates of rank 0 stay, for fold-constants to drop. Updates that are not added to a product, or whose
 * factors are computed, are kept; by depth, they stay as with `gather`.
 */
export function mergeLora({ strategy, compute = 'f32' }: MergeLoraOptions): StablePass {
  return {
    name: 'merge-lora',
    options: { strategy, ...(compute === 'f32' ? {} : { compute }) },
    numerics: 'reassociates',
    changesInterface: false,
    run<S extends Stage>(graph: Graph<S>, { note, fact }: PassContext): Graph<S> {
      const updates = findUpdates(graph);
      const { updates: byDepth, others } = findDepthUpdates(graph);
      if (updates.length + byDepth.length + others.length === 0) {
        note('there are no LoRA updates');
        return graph;
      }
      const groups = groupBy(updates, sharesProduct);
      const depthGroups = groupBy(byDepth, sharesDepths);
      const costs = loraCosts({ groups, byDepth: depthGroups });
      for (const cost of costs) note(formatCost(cost));
      const choice = choose(strategy, { updates, byDepth, others }, () => chooseStrategy(costs, graph));
      note(`${choice.strategy}: ${choice.why}`);
      fact?.('strategy', choice.strategy);

      const rewrite = loraRewrite(graph, compute);
      if (choice.strategy === 'concatenate') groups.forEach(rewrite.concatenate);
      else if (choice.strategy !== 'bake') updates.forEach(rewrite.keep);
      else {
        for (const update of updates) {
          if (typeof update.base !== 'string') rewrite.bake(update, update.base);
          else {
            note(`${nameOf(update.op)}: kept, as ${update.base}`);
            rewrite.keep(update);
          }
        }
      }
      for (const { op, why } of others) note(`${nameOf(op)}: factors are looked up for every row, as ${why}`);
      if (choice.strategy === 'concatenate') depthGroups.forEach(rewrite.joinDepths);
      else if (choice.strategy !== 'gather') {
        for (const update of byDepth) {
          if (choice.strategy === 'bake') note(`${nameOf(update.op)}: kept, as rows of one step differ in their depth`);
          rewrite.joinDepths([update]);
        }
      }
      return { ...graph, ...rewrite.finish() };
    },
  };
}

interface Choice {
  readonly strategy: LoraStrategy;
  readonly why: string;
}

/** The strategy that is asked for, or the cheapest, where there is anything to choose. */
function choose(
  asked: MergeLoraOptions['strategy'],
  found: Readonly<Record<'updates' | 'byDepth' | 'others', readonly unknown[]>>,
  cheapest: () => Choice,
): Choice {
  if (found.updates.length + found.byDepth.length === 0) {
    return { strategy: 'gather', why: 'there is no other way' };
  }
  if (asked === 'gather' && found.byDepth.length + found.others.length === 0) {
    return { strategy: 'keep', why: 'as rows have no depths of their own, there is nothing to gather by' };
  }
  return asked === 'auto' ? cheapest() : { strategy: asked, why: 'as asked' };
}

function nameOf({ scope, results }: (LoraUpdate | DepthUpdate)['op']): string {
  return scope || results[0]!.name;
}

/** True for updates that can share a product with A: the same x in the same body, and factors of one kind. */
function sharesProduct(a: LoraUpdate, b: LoraUpdate): boolean {
  return a.x === b.x && a.loop === b.loop && a.a.kind === b.a.kind && a.a.kind !== 'computed';
}

function sharesDepths(a: DepthUpdate, b: DepthUpdate): boolean {
  return a.x === b.x && a.depth === b.depth && a.depths.length === b.depths.length;
}

function groupBy<T>(items: readonly T[], together: (first: T, item: T) => boolean): readonly (readonly T[])[] {
  const groups: T[][] = [];
  for (const item of items) {
    const group = groups.find(([first]) => together(first!, item));
    if (group) group.push(item);
    else groups.push([item]);
  }
  return groups;
}

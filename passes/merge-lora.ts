import type { Graph, Stage } from '../ir/graph.ts';
import { chooseStrategy, formatCost, loraCosts } from './merge-lora/cost.ts';
import { loraRewrite } from './merge-lora/rewrite.ts';
import { findUpdates, type LoraUpdate } from './merge-lora/updates.ts';
import type { PassContext, StablePass } from './pass.ts';

/** How LoRA updates become plain products; see {@link mergeLora}. */
export type LoraStrategy = 'bake' | 'keep' | 'concatenate';

export interface MergeLoraOptions {
  /** `auto` takes what costs least by a model that prints its numbers, and never makes the package grow. */
  readonly strategy: LoraStrategy | 'auto';
}

/**
 * Makes plain products of LoRA updates.
 *
 * Given: `linear(x, W) + low_rank(x, A, B, s)`, in loop bodies too, where A and B may be slices of stacked factors.
 * Result, by strategy:
 * - `bake`: `linear(x, W + s·BA)`, a weight of its own for every depth, written in f32. Only where all four are weights
 *   and numbers, hence not in a loop's body; updates that cannot be baked are kept, with the reason as a note.
 * - `keep`: `linear(x, W) + linear(s·linear(x, A), B)`. A scale that is a power of two multiplies A before the graph
 *   runs, which is exact; any other multiplies the product with A, which is only as wide as the rank.
 * - `concatenate`: as `keep`, but updates that share x (q, k, v; gate, up) share one product with all their A's.
 * Invariants: no weight of the checkpoint is copied or changed by `keep` and `concatenate`; W is not touched by them.
 * Edge cases: updates of rank 0 stay, for fold-constants to drop. Updates that are not added to a product, or whose
 * factors are computed, are kept.
 */
export function mergeLora({ strategy }: MergeLoraOptions): StablePass {
  return {
    name: 'merge-lora',
    options: { strategy },
    numerics: 'reassociates',
    changesInterface: false,
    run<S extends Stage>(graph: Graph<S>, { note, fact }: PassContext): Graph<S> {
      const updates = findUpdates(graph);
      if (updates.length === 0) {
        note('there are no LoRA updates');
        return graph;
      }
      const groups = groupByInput(updates);
      const costs = loraCosts(updates, groups);
      for (const cost of costs) note(formatCost(cost));
      const choice = strategy === 'auto' ? chooseStrategy(costs, graph) : { strategy, why: 'as asked' };
      note(`${choice.strategy}: ${choice.why}`);
      fact?.('strategy', choice.strategy);

      const rewrite = loraRewrite(graph);
      if (choice.strategy === 'concatenate') groups.forEach(rewrite.concatenate);
      else if (choice.strategy === 'keep') updates.forEach(rewrite.keep);
      else {
        for (const update of updates) {
          if (typeof update.base !== 'string') rewrite.bake(update, update.base);
          else {
            note(`${update.op.scope || update.op.results[0]!.name}: kept, as ${update.base}`);
            rewrite.keep(update);
          }
        }
      }
      return { ...graph, ...rewrite.finish() };
    },
  };
}

/** Updates that can share a product with A: the same x in the same body, and factors of one kind. */
function groupByInput(updates: readonly LoraUpdate[]): readonly (readonly LoraUpdate[])[] {
  const groups: LoraUpdate[][] = [];
  for (const update of updates) {
    const group = groups.find(([first]) => {
      const alike = first!.x === update.x && first!.loop === update.loop && first!.a.kind === update.a.kind;
      return alike && update.a.kind !== 'computed';
    });
    if (group) group.push(update);
    else groups.push([update]);
  }
  return groups;
}

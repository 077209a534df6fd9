import { anatomyOf } from './depth-batch/anatomy.ts';
import { propagateGraph } from './depth-batch/propagate-graph.ts';
import type { Pass } from './pass.ts';
import { Refusal } from './refusal.ts';
import type { StoredLayers } from './stack-cache.ts';

/**
 * Makes the graph that gives tokens which left early keys and values at the depths that they skipped.
 *
 * Given: a folded decoder, as depth-batch takes it.
 * Result: inputs `hidden` [n, hidden] (states that tokens left with), `depth` [n], `position_ids` [n]; outputs
 * `new_key.{k}` and `new_value.{k}` [n, kv_heads, head_dim] for each layer k of the block: what its norm, projections
 * (with the LoRA of that depth) and rotation make of the state, as if it were the input of every layer.
 * Invariants: weights are those of the step, by the same expressions.
 * Edge case: without a loop there is nothing to skip, and the pass refuses.
 */
export function propagateExits(layers: StoredLayers): Pass<'folded', 'folded'> {
  return {
    name: 'propagate-exits',
    options: { ...layers },
    numerics: 'exact',
    changesInterface: true,
    run(graph) {
      const anatomy = anatomyOf(graph, layers);
      if (!anatomy.loop) throw new Refusal('There is no loop, so no token can skip a depth.');
      return propagateGraph(anatomy, anatomy.loop);
    },
  };
}

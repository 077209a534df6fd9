import type { Graph } from '../ir/graph.ts';
import { anatomyOf } from './depth-batch/anatomy.ts';
import { type StepOptions, stepGraph } from './depth-batch/step-graph.ts';
import type { Pass } from './pass.ts';
import type { StoredLayers } from './stack-cache.ts';

export interface DepthBatchOptions extends StepOptions {
  /** How the model says that its layers run. */
  readonly layers: StoredLayers;
}

/**
 * Makes a step of a whole model: one loop of the shared block, for rows that may be at different depths.
 *
 * Given: a folded decoder with one loop, which carries the hidden state, or none; `attention` over caches that grew.
 * ```
 * %h.0 = embed(%input_ids)
 * %h = loop %h.0, %lora, %past { (depth, h, lora, past) => layers(h, lora, past joined with new) }
 * %logits = head(norm(%h))
 * ```
 * Result, for `rows` of `tokens`
 * ```
 * %h.in = where %depth == 0, embed(%input_ids), %hidden
 * hidden.out = layers(%h.in, %lora by %depth, pages by %page_table and new)
 * logits = head(norm(hidden.out at %head_rows)), their confidence, the likeliest token
 * ```
 * and the new keys and values, for whoever drives steps to put into pages. A prelude runs for `entering_rows` alone and
 * a coda for `leaving_rows`, whose results take their rows' places. A graph without a loop is one block as a whole.
 *
 * What differs by depth follows its row: LoRA as low_rank_by_depth; anything else is computed for all depths while
 * nothing in it has rows, and looked up where it meets them. Masks are those of the given graph, on an attention mask
 * made of `past_length`: they may look at nothing that a row of a step does not know.
 * Invariants: weights keep their expressions. A row's numbers do not depend on the rows beside it, nor, to the bit in
 * float64, on how its tokens came in chunks: loop after loop they are those of the given graph.
 * Edge cases: lists, page tables and groups may be empty. Page 0 and whatever lies behind `past_length` is multiplied by
 * zeros and has to be finite. What cannot be said by row is refused by name, see refusal.ts.
 */
export function depthBatch({ layers, ...options }: DepthBatchOptions): Pass<'folded', 'folded'> {
  return {
    name: 'depth-batch',
    options: { ...layers, ...options },
    numerics: 'exact',
    changesInterface: true,
    run(graph, { note }): Graph<'folded'> {
      const anatomy = anatomyOf(graph, layers);
      const { prelude, block, coda } = anatomy.layers;
      note(
        `A step runs ${block.length} layers; ${prelude.length} in front and ${coda.length} behind, where rows say so.`,
      );
      return stepGraph(anatomy, options);
    },
  };
}

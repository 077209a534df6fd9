import type { Confidence } from './insert-exit-heads/confidence.ts';
import { exitLogits } from './insert-exit-heads/exit-logits.ts';
import { exitsInLoop } from './insert-exit-heads/exits-in-loop.ts';
import type { Pass } from './pass.ts';

export type InsertExitHeadsOptions =
  | {
      readonly mode: 'exit-logits';
      /** Loops, 1-based, whose logits become outputs; the last loop's are there already. */
      readonly after: readonly number[];
    }
  | {
      readonly mode: 'in-loop';
      /** Loops, 1-based and ascending, behind which a token may leave. */
      readonly after: readonly number[];
      readonly confidence: Confidence;
    };

/**
 * Lets tokens leave a folded model early: the model's own tail (coda, final norm, head), with the same weights, on the
 * hidden state between loops.
 *
 * Given: a folded graph whose output `logits` comes from one value that its loop carries; or one without a loop.
 * Result, by mode:
 * - `exit-logits`: outputs `exit_logits.{n}`, the tail on the hidden state after n loops; see exit-logits.ts.
 * - `in-loop`: the contract of the loop form, with the tail inside of the loop; see exits-in-loop.ts.
 * Invariants: no weight is copied; outputs that were there keep their meaning while nothing leaves.
 * Edge cases: without a loop there is nothing to leave: `exit-logits` does nothing, `in-loop` adds its interface only.
 */
export function insertExitHeads(options: InsertExitHeadsOptions): Pass<'folded', 'folded'> {
  return {
    name: 'insert-exit-heads',
    options: { ...options },
    numerics: 'exact',
    changesInterface: true,
    run: (graph, { note }) =>
      options.mode === 'exit-logits' ? exitLogits(graph, options.after, note) : exitsInLoop(graph, options, note),
  };
}

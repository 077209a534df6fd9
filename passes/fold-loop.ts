import type { Graph } from '../ir/graph.ts';
import { buildFolded } from './fold-loop/build-folded.ts';
import { analyseLoop, loopText } from './fold-loop/find-loop.ts';
import type { Flow } from './fold-loop/flow.ts';
import type { Pass } from './pass.ts';

/**
 * Finds the block that a graph repeats and makes a loop of it, from the graph alone.
 *
 * Given
 * ```
 * %h.1 = block(%h.0, %shared, %lora.0, %past.0)    and  %present.0, used elsewhere
 * %h.2 = block(%h.1, %shared, %lora.1, %past.1)    and  %present.1
 * ```
 * Result
 * ```
 * %past = stack %past.0, %past.1
 * %h, %presents = loop %h.0, stack(%lora.0, %lora.1), %past {
 *   (depth, state, lora, past) => block(state, %shared, lora, past) and the present
 * }
 * %present.0 = select %presents {axis=0, index=0}
 * ```
 *
 * Invariants: names and types of inputs and outputs stay; every weight that depths share is still one weight; the body
 * is the same however the operations of the given graph are ordered, and whatever its values are called.
 *
 * What is a loop: operations of equal kinds and attributes, on values of equal types, at every depth, that are given
 * - the same value at every depth: it stays outside, computed once, and so do computations that are the same throughout;
 * - what the depth before has made: it is carried. Mostly one value; up to eight where there is more than one stream;
 * - something of its own at every depth: weights, stacked (LoRA factors of different rank are filled up with zeros,
 *   which adds nothing to a finite number; a matrix that only some depths share ends the loop, as stacking would store
 *   it twice), constants, graph inputs, or other values from outside;
 * and that share more of their weights than they have of their own. Prelude and coda are what is left on either side.
 *
 * Operations that are equal become one on the way, as cse would make them; a graph without a loop is not touched.
 *
 * Edge cases: a tied embedding and head are used by different operations and are no loop. Layers of one structure with
 * weights of their own are no depths. A block that uses a weight several times is found as a whole. Of several loops the
 * one that shares most is folded and the others are named. A value that one depth makes and others read (other than
 * by carrying) cannot be folded. A loop that is already there is copied and takes no part in another.
 * Uses of a weight that do not follow from one another, as in two chains side by side, are not told into depths.
 * Without a loop the graph stays as it is, and the note says what came nearest.
 */
export const foldLoop: Pass<'unrolled', 'folded'> = {
  name: 'fold-loop',
  numerics: 'exact',
  changesInterface: false,
  run: (graph, { note }) => {
    const { search, flow, body } = analyseLoop(graph);
    if (!search.found || !body) {
      if (!search.found) note(`No loop: ${search.reason}`);
      return { ...graph, stage: 'folded' };
    }
    note(loopText(search));
    for (const remark of search.remarks) note(remark);
    return buildFolded(flow, body);
  },
};

/**
 * Makes a loop of every block that a graph repeats, as fold-loop does of one: the best first, then what is left, which
 * has other weights. Takes a graph whose caches and outputs are what they shall be.
 *
 * Given
 * ```
 * %h.1 = a(%h.0, %past.0)   %h.2 = a(%h.1, %past.1)   %h.3 = b(%h.2, %past.2)   %h.4 = b(%h.3, %past.3)
 * ```
 * Result
 * ```
 * %h.2 = loop %h.0, stack(%past.0, %past.1) { … a … }   %h.4 = loop %h.2, stack(%past.2, %past.3) { … b … }
 * ```
 * Invariants and edge cases: those of fold-loop, for each loop; but none is made whose depths have matrices of their own,
 * which would have to be stored once more, side by side.
 */
export const foldEveryLoop: Pass<'folded', 'folded'> = {
  name: 'fold-every-loop',
  numerics: 'exact',
  changesInterface: false,
  run: (graph, { note }) => {
    let folded = graph;
    for (;;) {
      const { search, flow, body } = analyseLoop(folded);
      if (!search.found || !body) return folded;
      const copied = body.each.some(({ kind, values }) => kind === 'weights' && rankOf(flow, values) > 1);
      if (copied) {
        note(`${loopText(search)} It stays spelled out, as matrices of its depths would be stored once more.`);
        return folded;
      }
      note(loopText(search));
      folded = buildFolded(flow, body);
    }
  },
};

function rankOf({ values: all }: Flow, [first]: readonly number[]): number {
  return all[first!]!.type.dims.length;
}

/** A graph in which loops may stay spelled out, for passes that take one in which they were looked for. */
export function withoutLoops(graph: Graph<'unrolled'>): Graph<'folded'> {
  return { ...graph, stage: 'folded' };
}

export { findLoop } from './fold-loop/find-loop.ts';

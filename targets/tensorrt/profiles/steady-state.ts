import type { ProfilePolicy } from './policy.ts';

/** A decoding step while the queue never empties, as far as its sizes go. */
export interface SteadyState {
  /** Loops of a token on average. */
  readonly meanLoops: number;
  /** Rows of a step. */
  readonly rows: number;
  /** Rows at depth 0. */
  readonly entering: number;
  /** Rows that leave. */
  readonly leaving: number;
  /** Rows behind whose loop some tokens leave: each asks the head, and so the coda, whether it is one of them. */
  readonly asking: number;
  /** Depths that the rows which leave skip, all together: what propagate.onnx is given. */
  readonly skipped: number;
}

/** What a decoding step of `policy` looks like; all whole, `rows` ≥ `asking` ≥ `leaving` ≥ 1. */
export function steadyState({ exits, loops, tuneFor, maxRows, groups }: ProfilePolicy): SteadyState {
  const rows = Math.min(maxRows, Math.max(tuneFor.rows, groups, 1));
  const meanLoops = exits.reduce((sum, share, i) => sum + share * (i + 1), 0);
  const leaving = Math.min(rows, Math.max(1, tuneFor.leaving));
  // Of the rows at a depth, as many as have not left before it; behind the last loop everybody leaves.
  let running = 1;
  let atExits = 0;
  for (const [depth, share] of exits.entries()) {
    if (share > 0 || depth === exits.length - 1) atExits += Math.max(0, running);
    running -= share;
  }
  return {
    meanLoops,
    rows,
    entering: Math.min(rows, Math.max(1, tuneFor.entering)),
    leaving,
    asking: Math.min(rows, Math.max(leaving, Math.round((rows * atExits) / Math.max(1, meanLoops)))),
    skipped: Math.max(1, Math.round(leaving * Math.max(0, loops - meanLoops))),
  };
}

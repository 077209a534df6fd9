import { binomial } from './binomial.ts';
import { type ExitShares, meanExit, sharesByDepth } from './exit-shares.ts';
import type { SimulatedBatching } from './scenario.ts';

/** How many rows of a kind a step has. */
export interface RowCount {
  readonly mean: number;
  /** In 90 of 100 steps the number is at least `least` and at most `most`. */
  readonly least: number;
  readonly most: number;
  /** Number n has the probability `probabilities[n]`. */
  readonly probabilities: readonly number[];
}

/** A kind of decoding step in the steady state. */
export interface ExpectedStep {
  /** Depth of its rows; undefined: rows of all depths share it. */
  readonly depth: number | undefined;
  /** Share of the decoding steps that are of this kind. */
  readonly share: number;
  readonly rows: RowCount;
  /** Rows at depth 0: those that run a prelude. */
  readonly entering: RowCount;
  /** Rows that leave: those that run a coda and the head. */
  readonly leaving: RowCount;
  /** Mean number of rows at each depth. */
  readonly byDepth: readonly number[];
}

/**
 * The sizes of decoding steps while the queue never empties: what the profile of a graph should be tuned for. With
 * depth-wise batching every step has as many rows as there are slots, of which a share of 1 / mean exit enters and as
 * many leave; sequence-wise batching that drops rows has fewer of them at each depth. Of a queue that does run empty
 * `rowsOfSteps` and `tuneForRows` of a simulation tell the same.
 *
 * @param options `slots`: rows of a step, as many as sequences under way; `exits`: share of tokens that leave behind
 *   each loop
 * @returns one kind of step, or with sequence-wise batching one for each depth; kinds that never run are left out
 */
export function expectedRows(options: {
  readonly slots: number;
  readonly exits: ExitShares;
  readonly batching?: Exclude<SimulatedBatching, 'vanilla'>;
}): { readonly steps: readonly ExpectedStep[]; readonly tuneFor: TunedSizes } {
  const { slots, batching = 'depth-wise' } = options;
  const exits =
    batching === 'full-depth' ? options.exits.map((_, i) => (i === options.exits.length - 1 ? 1 : 0)) : options.exits;
  const steps = batching === 'depth-wise' ? [mixedStep(slots, exits)] : depthSteps(slots, exits, batching);
  const mean = (count: (step: ExpectedStep) => RowCount) =>
    Math.max(1, Math.round(steps.reduce((sum, step) => sum + step.share * count(step).mean, 0)));
  return {
    steps,
    tuneFor: {
      rows: mean(({ rows }) => rows),
      entering: mean(({ entering }) => entering),
      leaving: mean(({ leaving }) => leaving),
    },
  };
}

/** One size for all steps: their means, weighted by how often they run, at least 1. */
export interface TunedSizes {
  readonly rows: number;
  readonly entering: number;
  readonly leaving: number;
}

function mixedStep(slots: number, exits: ExitShares): ExpectedStep {
  const mean = meanExit(exits);
  const turning = rowCount(binomial(slots, 1 / mean));
  const byDepth = sharesByDepth(exits).map((share) => (slots * share) / mean);
  return { depth: undefined, share: 1, rows: exactly(slots), entering: turning, leaving: turning, byDepth };
}

function depthSteps(slots: number, exits: ExitShares, batching: SimulatedBatching): readonly ExpectedStep[] {
  const running = sharesByDepth(exits);
  // A depth runs unless every row has left before it.
  const runs = running.map((share) => 1 - (1 - share) ** slots);
  const all = runs.reduce((a, b) => a + b, 0);
  return running.flatMap((share, depth) => {
    if (runs[depth]! <= 0) return [];
    const left = binomial(slots, share).map((p, n) => (n === 0 ? 0 : p / runs[depth]!));
    const rows = batching === 'sequence-wise-shrink' ? rowCount(left) : exactly(slots);
    // Of the rows that run this depth each leaves behind it with the same probability.
    const leaves = exits[depth]! / share;
    const step: ExpectedStep = {
      depth,
      share: runs[depth]! / all,
      rows,
      entering: depth === 0 ? exactly(slots) : exactly(0),
      leaving: rowCount(thinned(left, leaves)),
      byDepth: running.map((_, d) => (d === depth ? rows.mean : 0)),
    };
    return [step];
  });
}

/** Of n things, n as likely as `counts` says, each is kept with `probability`: how many are. */
function thinned(counts: readonly number[], probability: number): readonly number[] {
  const kept = new Array<number>(counts.length).fill(0);
  counts.forEach((p, n) => {
    if (p === 0) return;
    binomial(n, Math.min(1, probability)).forEach((q, k) => {
      kept[k]! += p * q;
    });
  });
  return kept;
}

function exactly(rows: number): RowCount {
  const probabilities = new Array<number>(rows + 1).fill(0);
  probabilities[rows] = 1;
  return { mean: rows, least: rows, most: rows, probabilities };
}

function rowCount(probabilities: readonly number[]): RowCount {
  const mean = probabilities.reduce((sum, p, n) => sum + p * n, 0);
  const at = (share: number) => {
    let sum = 0;
    for (const [n, p] of probabilities.entries()) {
      sum += p;
      // Sums of probabilities end a rounding below 1.
      if (sum >= share - 1e-12) return n;
    }
    return probabilities.length - 1;
  };
  return { mean, least: at(0.05), most: at(0.95), probabilities };
}

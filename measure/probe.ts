import type { StepModel, StepRow } from '../runtime/depth-batched/step-model.ts';
import type { TimePoint } from '../simulate/time-at.ts';
import { meanOf, medianOf } from './statistics.ts';

/** Times of the parts of one step, in milliseconds; each the median of its runs. */
export interface ProbeTimes {
  /** One loop of the block for these rows, without a head. */
  readonly pass: number;
  /** What heads add, ascending by count. */
  readonly heads: readonly TimePoint[];
  /** A pass of the same rows with nothing behind them: what is left of it without attending to a past. */
  readonly withoutPast: number;
  /** A pass of as many rows that all have the mean past: what is left of it without padding. */
  readonly evenPast: number;
}

/** A step in one of the ways in which it is timed: what it took, less what a bare pass took just before and after it. */
interface Way {
  readonly rows: readonly StepRow[];
  readonly more: number[];
}

/**
 * Times the parts of a decoding step by running the very rows that a scheduler ran, again and again, in turn, with and
 * without heads and with other pasts. A head takes a tenth of what the pass in front of it does, so each is compared
 * with the passes on both of its sides. Writes nothing, so whoever made the rows does not notice.
 * @param rows of a decoding step, with pages as `model` has them
 * @param headCounts how many heads to time; at most as many as there are rows
 * @param repeats how often each way is run
 */
export async function probeStep(
  model: StepModel,
  rows: readonly StepRow[],
  headCounts: readonly number[],
  repeats: number,
): Promise<ProbeTimes> {
  const time = async (of: readonly StepRow[]) => (await model.run(of, { logits: false })).milliseconds;
  const bare = rows.map((row) => ({ ...row, heads: [], leaving: false }));
  const way = (of: readonly StepRow[]): Way => ({ rows: of, more: [] });
  const withoutPast = way(bare.map((row) => ({ ...row, position: 0, pages: [], boundaryPages: [] })));
  const evenPast = way(evenly(bare, model.shape.pageSize));
  const counts = [...new Set(headCounts)].filter((n) => n >= 1 && n <= rows.length).sort((a, b) => a - b);
  const headed = counts.map((count) =>
    way(bare.map((row, i) => (i < count ? { ...row, heads: [0], leaving: true } : row))),
  );
  const passes = [await time(bare)];
  for (let i = 0; i < repeats; i++) {
    // There and back again: what warms or slows the machine meanwhile falls on all alike.
    const turn = [...headed, withoutPast, evenPast];
    for (const { rows: of, more } of i % 2 === 0 ? turn : turn.toReversed()) {
      const before = passes.at(-1)!;
      const taken = await time(of);
      passes.push(await time(bare));
      more.push(taken - (before + passes.at(-1)!) / 2);
    }
  }
  const pass = medianOf(passes);
  return {
    pass,
    heads: headed.map(({ more }, i) => ({ count: counts[i]!, milliseconds: Math.max(0, medianOf(more)) })),
    withoutPast: Math.max(0, pass + medianOf(withoutPast.more)),
    evenPast: Math.max(0, pass + medianOf(evenPast.more)),
  };
}

/** The same rows, each with the mean of all pasts; where a row has too few pages for that, its own serve twice. */
function evenly(rows: readonly StepRow[], pageSize: number): readonly StepRow[] {
  const position = Math.round(meanOf(rows.map((row) => row.position)));
  const count = Math.ceil(position / pageSize);
  const stretch = (pages: readonly number[]) =>
    pages.length === 0 ? [] : Array.from({ length: count }, (_, i) => pages[i % pages.length]!);
  return rows.map((row) => ({
    ...row,
    position,
    pages: stretch(row.pages.length === 0 ? [0] : row.pages),
    boundaryPages: stretch(row.boundaryPages),
  }));
}

import type { StepModel, StepRow } from '../runtime/depth-batched/step-model.ts';
import type { TimePoint } from '../simulate/time-at.ts';
import { meanOf } from './statistics.ts';

/** What the parts of one step took, in milliseconds, each time that they were run. */
export interface ProbeSamples {
  /** One loop of the block for these rows, without a head. */
  readonly passes: readonly number[];
  /** What heads added to a pass right beside them; below 0 where noise was larger. */
  readonly heads: readonly TimePoint[];
  /** What passes of the same rows with nothing behind them took more (as a rule less) than one beside them. */
  readonly withoutPast: readonly number[];
  /** The same of as many rows that all have the mean past, which is without padding. */
  readonly evenPast: readonly number[];
}

/** How long a step is probed. */
export interface ProbeLength {
  /** How often each way is run at least. */
  readonly repeats: number;
  /** Time for heads alone, which are hardest to tell, on top of that: no repeat is begun behind it. */
  readonly milliseconds: number;
  readonly signal?: AbortSignal;
}

/** A step in one of the ways in which it is timed: what it took, less what a bare pass right beside it took. */
interface Way {
  readonly rows: readonly StepRow[];
  readonly more: number[];
}

/**
 * Times the parts of a decoding step by running the very rows that a scheduler ran, again and again, in turn, with and
 * without heads and with other pasts. A head takes a tenth of what the pass in front of it does, so each is compared
 * with the pass before it or the one behind. Writes nothing, so whoever made the rows does not notice.
 * @param rows of a decoding step, with pages as `model` has them
 * @param headCounts how many heads to time; at most as many as there are rows
 * @param length how often, and how long
 */
export async function probeStep(
  model: StepModel,
  rows: readonly StepRow[],
  headCounts: readonly number[],
  { repeats, milliseconds, signal }: ProbeLength,
): Promise<ProbeSamples> {
  const end = performance.now() + milliseconds;
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
  const isTime = () => counts.length > 0 && performance.now() < end && signal?.aborted !== true;
  for (let i = 0; i < repeats || isTime(); i++) {
    // There and back again: what warms or slows the machine meanwhile falls on all alike.
    const turn = i < repeats ? [...headed, withoutPast, evenPast] : headed;
    for (const { rows: of, more } of i % 2 === 0 ? turn : turn.toReversed()) {
      const before = passes.at(-1)!;
      const taken = await time(of);
      passes.push(await time(bare));
      // One neighbour, not the mean of both: somebody else's burst is then as likely in either of the two, and the
      // median of the differences stays where it belongs.
      more.push(taken - (i % 2 === 0 ? before : passes.at(-1)!));
    }
  }
  return {
    passes,
    heads: headed.flatMap(({ more }, i) => more.map((taken) => ({ count: counts[i]!, milliseconds: taken }))),
    withoutPast: withoutPast.more,
    evenPast: evenPast.more,
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

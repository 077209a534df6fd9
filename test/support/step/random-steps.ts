import type { Recursion } from '../../../compiler/read/source-model.ts';
import { randomStream } from '../random.ts';

/** Tokens of one sequence that run together at one depth. */
export interface StepRow {
  readonly sequence: number;
  readonly depth: number;
  /** Position of the first. */
  readonly from: number;
  readonly count: number;
}

/** One call: rows in groups that attend together. */
export type StepRows = readonly (readonly StepRow[])[];

interface Progress {
  /** By depth: how many tokens ran it. */
  readonly done: number[];
  /** Where the chunks of the sequence begin, and its end. */
  readonly bounds: readonly number[];
}

/**
 * Draws calls that run every token of some sequences through all loops: any depths side by side, tokens in chunks, a
 * chunk as soon as the one before it is at its depth or beyond, rows in any order and group, groups without rows.
 */
export function randomSteps(
  lengths: readonly number[],
  { loops }: Pick<Recursion, 'loops'>,
  { groups, seed }: { readonly groups: number; readonly seed: string },
): readonly StepRows[] {
  const random = randomStream(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const progress = lengths.map((length): Progress => {
    const bounds = [0];
    while (bounds.at(-1)! < length) bounds.push(Math.min(length, bounds.at(-1)! + 1 + below(4)));
    return { done: Array.from({ length: loops }, () => 0), bounds };
  });
  const ready = (): readonly StepRow[] =>
    progress.flatMap(({ done, bounds }, sequence) =>
      done.flatMap((from, depth) => {
        const to = bounds.find((bound) => bound > from);
        const before = depth === 0 ? (to ?? 0) : done[depth - 1]!;
        return to !== undefined && before >= to ? [{ sequence, depth, from, count: to - from }] : [];
      }),
    );
  const steps: StepRows[] = [];
  for (let choices = ready(); choices.length > 0; choices = ready()) {
    const chosen = choices.filter(() => random() < 0.7);
    const rows = chosen.length > 0 ? chosen : [choices[below(choices.length)]!];
    const call: StepRow[][] = Array.from({ length: groups }, () => []);
    for (const row of rows) {
      const group = call[below(groups)]!;
      group.splice(below(group.length + 1), 0, row);
      progress[row.sequence]!.done[row.depth]! += row.count;
    }
    steps.push(call);
  }
  return steps;
}

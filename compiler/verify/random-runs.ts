import type { Call, Run } from './call.ts';
import { randomStream } from './random-stream.ts';

export interface RandomRunsOptions {
  readonly seed: number;
  readonly vocabSize: number;
  /** No row gets longer than this. */
  readonly maxPositions: number;
  /** Large models get fewer and shorter runs. Or what to run. */
  readonly effort: 'full' | 'brief' | readonly RunPlan[];
}

/** What the rows of a run are padded to, and with which lengths they start; then one column a number. */
export interface RunPlan {
  readonly name: string;
  readonly lengths: readonly number[];
  readonly side: 'left' | 'right';
  /** New tokens of each call after the first, the same for every row. */
  readonly later: readonly number[];
}

const plans: Readonly<Record<'full' | 'brief', readonly RunPlan[]>> = {
  full: [
    { name: 'one token', lengths: [1], side: 'left', later: [1] },
    { name: 'one long row', lengths: [23], side: 'left', later: [1] },
    { name: 'two rows, token by token', lengths: [5, 5], side: 'left', later: [3, 1, 1] },
    { name: 'three rows padded on the left', lengths: [9, 4, 1], side: 'left', later: [1, 2] },
    { name: 'three rows padded on the right', lengths: [2, 8, 5], side: 'right', later: [1, 2] },
  ],
  brief: [
    { name: 'two rows padded on the left', lengths: [4, 2], side: 'left', later: [1] },
    { name: 'two rows padded on the right', lengths: [1, 3], side: 'right', later: [1] },
  ],
};

/** Runs over random tokens: several batch sizes and lengths, with and without a past, padded on either side. */
export function randomRuns({ seed, vocabSize, maxPositions, effort }: RandomRunsOptions): readonly Run[] {
  const random = randomStream(seed);
  const token = () => Math.floor(random() * vocabSize);
  return (typeof effort === 'string' ? plans[effort] : effort).map(({ name, lengths, side, later: wanted }) => {
    const later = wanted.filter((_, i) => wanted.slice(0, i + 1).reduce((sum, n) => sum + n, 1) <= maxPositions);
    const room = maxPositions - later.reduce((sum, n) => sum + n, 0);
    const capped = lengths.map((length) => Math.min(length, room));
    return {
      name,
      calls: [
        padded(capped, side, token),
        ...later.map((n) =>
          padded(
            capped.map(() => n),
            side,
            token,
          ),
        ),
      ],
    };
  });
}

function padded(lengths: readonly number[], side: 'left' | 'right', token: () => number): Call {
  const batch = lengths.length;
  const sequence = Math.max(...lengths);
  const ids = Float64Array.from({ length: batch * sequence }, token);
  const attended = Float64Array.from({ length: batch * sequence }, (_, i) => {
    const [row, column] = [Math.floor(i / sequence), i % sequence];
    const length = lengths[row]!;
    return Number(side === 'left' ? column >= sequence - length : column < length);
  });
  return { batch, sequence, ids, attended };
}

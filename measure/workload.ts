import { uniform } from '../runtime/random.ts';
import { makeExits } from './exit-trace.ts';

/** One sequence of a workload. */
export interface WorkItem {
  readonly prompt: readonly number[];
  readonly newTokens: number;
  /** Milliseconds since the workload began. */
  readonly arrival: number;
  /** Exit loop of every new token, the first of which is not read; undefined: a threshold decides. */
  readonly exits: readonly number[] | undefined;
}

/** When sequences arrive: all together, or so many a second on average with exponential gaps. */
export type Arrivals =
  | { readonly kind: 'at-once' }
  | { readonly kind: 'poisson'; readonly perSecond: number; readonly seed: number };

/** From `least` to `most`, both included. */
export interface LengthRange {
  readonly least: number;
  readonly most: number;
}

export interface WorkloadOptions {
  /** Given prompts in their order, or how many to make, of which lengths, out of which vocabulary. */
  readonly prompts:
    | readonly (readonly number[])[]
    | { readonly count: number; readonly lengths: LengthRange; readonly vocabulary: number };
  readonly newTokens: LengthRange;
  readonly arrivals: Arrivals;
  /** Who decides when a token leaves: a threshold, a recorded run (sequence i takes list i, from the top again when
   * there are more sequences than lists), or a made one with this mean. */
  readonly exits:
    | { readonly kind: 'threshold' }
    | { readonly kind: 'trace'; readonly sequences: readonly (readonly number[])[] }
    | { readonly kind: 'made'; readonly loops: number; readonly after: readonly number[]; readonly mean: number };
  readonly seed: number;
}

/** Names of streams of random numbers: what is drawn from one does not move when something else is drawn more often. */
const streams = { promptLength: 1, promptToken: 2, newTokens: 3, exit: 4 } as const;

/** The same options give the same workload, everywhere. */
export function makeWorkload(options: WorkloadOptions): readonly WorkItem[] {
  const { seed, newTokens } = options;
  const prompts = 'count' in options.prompts ? makePrompts(options.prompts, seed) : options.prompts;
  const budgets = prompts.map((_, i) => lengthIn(newTokens, draw(seed, streams.newTokens, i)));
  const exits = exitsOf(options, budgets);
  let arrival = 0;
  return prompts.map((prompt, i) => {
    if (options.arrivals.kind === 'poisson') {
      const { perSecond, seed: arrivalSeed } = options.arrivals;
      // 1 - u is never 0, so the gap is never infinite.
      arrival += (-Math.log(1 - uniform(arrivalSeed, i)) / perSecond) * 1000;
    }
    return { prompt, newTokens: budgets[i]!, arrival, exits: exits?.[i] };
  });
}

function makePrompts(
  {
    count,
    lengths,
    vocabulary,
  }: { readonly count: number; readonly lengths: LengthRange; readonly vocabulary: number },
  seed: number,
): readonly (readonly number[])[] {
  let drawn = 0;
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: lengthIn(lengths, draw(seed, streams.promptLength, i)) }, () =>
      Math.floor(draw(seed, streams.promptToken, drawn++) * vocabulary),
    ),
  );
}

function exitsOf(
  { exits, seed }: WorkloadOptions,
  budgets: readonly number[],
): readonly (readonly number[])[] | undefined {
  if (exits.kind === 'threshold') return undefined;
  if (exits.kind === 'trace') return budgets.map((_, i) => exits.sequences[i % exits.sequences.length] ?? []);
  // The first new token of a sequence comes out of the prompt, which runs all loops: the mean is that of the others.
  const decided = budgets.reduce((sum, budget) => sum + budget - 1, 0);
  const all = makeExits(exits.loops, exits.after, exits.mean, decided, seed * 16 + streams.exit);
  let taken = 0;
  return budgets.map((budget) => {
    const own = all.slice(taken, taken + budget - 1);
    taken += budget - 1;
    return [exits.loops, ...own];
  });
}

function draw(seed: number, stream: number, place: number): number {
  return uniform(seed * 16 + stream, place);
}

function lengthIn({ least, most }: LengthRange, drawn: number): number {
  return least + Math.floor(drawn * (most - least + 1));
}

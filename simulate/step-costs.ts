import type { StepProfile } from '../files/step-profile.ts';
import { timeAt } from './time-at.ts';

/** Milliseconds of the parts of a step. */
export interface StepCosts {
  /** One loop of the block for rows of one token. */
  readonly pass: (rows: number) => number;
  /** What heads add to it. */
  readonly head: (heads: number) => number;
  /** One loop of the block for tokens of a prompt; undefined where prompts are left out. */
  readonly prompt: ((tokens: number) => number) | undefined;
  /** Keys and values of skipped loops: so many pairs of a token and a loop. */
  readonly propagate: (pairs: number) => number;
  /** Outside the runtime, for every step. */
  readonly host: number;
}

/** Costs as a profile has them; parts that it does not have cost nothing. */
export function stepCosts(profile: StepProfile): StepCosts {
  const passes = profile.passes.map(({ rows, milliseconds }) => ({ count: rows, milliseconds }));
  const heads = profile.heads?.map(({ heads, milliseconds }) => ({ count: heads, milliseconds })) ?? [];
  const prompt = profile.prompt?.map(({ tokens, milliseconds }) => ({ count: tokens, milliseconds }));
  const propagate = profile.propagate?.map(({ tokens, milliseconds }) => ({ count: tokens, milliseconds })) ?? [];
  return {
    pass: cached((rows) => timeAt(passes, rows)),
    head: cached((count) => timeAt(heads, count)),
    prompt: prompt && cached((tokens) => timeAt(prompt, tokens)),
    propagate: cached((pairs) => timeAt(propagate, pairs)),
    host: profile.host ?? 0,
  };
}

/** A simulation asks for the same few numbers millions of times. */
function cached(time: (count: number) => number): (count: number) => number {
  const known = new Map<number, number>();
  return (count) => {
    const found = known.get(count);
    if (found !== undefined) return found;
    const made = time(count);
    known.set(count, made);
    return made;
  };
}

import type { Contestant, StepRecord } from './contestant.ts';
import { watchLoad } from './machine-load.ts';

/** What a contestant did in a round. */
export interface Turn {
  readonly steps: readonly StepRecord[];
  readonly tokens: number;
}

/** A round: everybody's turn, in the order of the contestants. */
export interface Round {
  readonly turns: readonly Turn[];
  /** Cores that other processes kept busy; undefined where nobody tells. */
  readonly othersCpu: number | undefined;
}

export interface TurnOptions {
  readonly contestants: readonly Contestant[];
  /** Tokens of the whole workload. */
  readonly tokens: number;
  /** In each of them everybody makes an equal share of the tokens. */
  readonly rounds: number;
  /** When no new round may begin any more, by performance.now(). */
  readonly deadline?: number;
  readonly signal?: AbortSignal;
  /** Runs at the end of every round, as one more turn; is told how many milliseconds the others took together. */
  readonly probe?: (turns: number) => Promise<void>;
  readonly onRound?: (round: number) => void;
}

/**
 * Lets contestants run the same workload in turns: round n ends for each of them when it has made n shares of the tokens
 * (whole steps; the last round ends with the workload). Every second round goes backwards, so that a machine that
 * becomes slower or faster is unfair to nobody.
 */
export async function takeTurns(options: TurnOptions): Promise<readonly Round[]> {
  const { contestants, rounds, tokens, signal } = options;
  const load = watchLoad();
  const done: Round[] = [];
  for (let round = 1; round <= rounds; round++) {
    if (signal?.aborted || performance.now() > (options.deadline ?? Number.POSITIVE_INFINITY)) break;
    options.onRound?.(round);
    const until = round === rounds ? Number.POSITIVE_INFINITY : (tokens * round) / rounds;
    const turns = new Map<Contestant, Turn>();
    const began = performance.now();
    for (const each of round % 2 === 0 ? contestants.toReversed() : contestants) {
      const before = { steps: each.steps.length, tokens: each.tokens() };
      await each.advance(until, signal);
      turns.set(each, { steps: each.steps.slice(before.steps), tokens: each.tokens() - before.tokens });
    }
    await options.probe?.(performance.now() - began);
    done.push({ turns: contestants.map((each) => turns.get(each)!), othersCpu: load.others() });
  }
  return done;
}

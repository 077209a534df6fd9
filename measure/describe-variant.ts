import { percentiles } from '../simulate/percentiles.ts';
import { timeAt } from '../simulate/time-at.ts';
import type { BenchVariant, TimelineStep } from './bench-document.ts';
import type { Contestant, StepRecord } from './contestant.ts';
import { spreadOf, sumOf } from './statistics.ts';
import { steadyState, workingRows } from './steady-state.ts';
import type { StepTimes } from './step-times.ts';
import type { Turn } from './take-turns.ts';

export interface VariantOptions {
  readonly contestant: Contestant;
  /** Its turns, round by round. */
  readonly turns: readonly Turn[];
  /** Rounds that count for the steady state, by place. */
  readonly steadyRounds: readonly number[];
  /** Tokens per second of full depth in these rounds; undefined for full depth itself. */
  readonly fullDepth: readonly number[] | undefined;
  readonly times: StepTimes | undefined;
  /** Milliseconds in which decoding steps made entries of skipped loops. */
  readonly propagating: number;
  readonly loops: number;
  readonly maxRows: number;
  /** Steps that the timeline has, at most. */
  readonly timelineSteps: number;
}

/** Tokens a second of a contestant in its steady rounds. */
export function steadyRates(turns: readonly Turn[], rounds: readonly number[]): readonly number[] {
  return rounds.map((round) => {
    const state = steadyState(turns[round]!.steps);
    return state === undefined ? Number.NaN : rate(state.tokens, state.milliseconds);
  });
}

/** All that the document says of a contestant. */
export function describeVariant(options: VariantOptions): BenchVariant {
  const { contestant, turns, loops, maxRows } = options;
  const { steps } = contestant;
  const working = turns.filter(({ tokens }) => tokens > 0);
  const milliseconds = sumOf(steps.map(({ duration }) => duration)) + contestant.idle();
  const sequences = contestant.sequences();
  const ended = sequences.filter(({ tokens }) => tokens.length > 0);
  const exits = decidedExits(contestant);
  const decoding = steps.filter(({ kind }) => kind === 'decode');
  const time = sumOf(decoding.map(({ duration }) => duration));
  const toFirst = percentiles(ended.map(({ times, arrival }) => times[0]! - arrival));
  const latency = percentiles(ended.map(({ times, arrival }) => times.at(-1)! - arrival));
  const perToken = percentiles(ended.flatMap(({ times }) => times.slice(1).map((at, i) => at - times[i]!)));
  return {
    id: contestant.kind,
    kind: contestant.kind,
    label: contestant.label,
    tokensPerSecond: spreadOf(
      working.map(({ steps: of, tokens }) => rate(tokens, sumOf(of.map(({ duration }) => duration)))),
    ),
    whole: contestant.done(),
    tokens: contestant.tokens(),
    steps: steps.length,
    milliseconds,
    meanExit: exits.length === 0 ? loops : sumOf(exits) / exits.length,
    exits: Array.from({ length: loops }, (_, i) => ({
      loop: i + 1,
      tokens: exits.filter((exit) => exit === i + 1).length,
    })),
    rowsPerStep: decoding.length === 0 ? 0 : sumOf(decoding.map(workingRows)) / decoding.length,
    occupancy:
      time === 0 ? 0 : sumOf(decoding.map((step) => Math.min(1, workingRows(step) / maxRows) * step.duration)) / time,
    ...(toFirst === undefined ? {} : { timeToFirstToken: toFirst }),
    ...(latency === undefined ? {} : { latency }),
    ...(perToken === undefined ? {} : { timePerToken: perToken }),
    ...steadyPart(options),
    breakdown: breakdown(options),
    timeline: {
      whole: steps.length <= options.timelineSteps,
      steps: steps.slice(0, options.timelineSteps).map(timelineStep),
    },
  };
}

/** Exits of all tokens but the first of every sequence, which comes out of the prompt, whatever the exits. */
function decidedExits({ sequences, steps }: Contestant): readonly number[] {
  const own = sequences();
  if (own.length > 0) return own.flatMap((sequence) => sequence.exits.slice(1));
  return steps.flatMap(({ kind, tokens }) => (kind === 'decode' ? tokens.map(({ exit }) => exit) : []));
}

function steadyPart({ turns, steadyRounds, fullDepth }: VariantOptions): Pick<BenchVariant, 'steady'> {
  const all = steadyState(steadyRounds.flatMap((round) => turns[round]!.steps));
  if (all === undefined) return {};
  const { steps, milliseconds: _, ...state } = all;
  const rates = steadyRates(turns, steadyRounds);
  return {
    steady: {
      ...state,
      steps: steps.length,
      tokensPerSecond: spreadOf(rates),
      ...(fullDepth === undefined ? {} : { gain: spreadOf(rates.map((own, i) => own / fullDepth[i]!)) }),
    },
  };
}

/** Splits what steps took by what is known of heads, and by what their rows were there for. */
function breakdown({ contestant, times, propagating }: VariantOptions): NonNullable<BenchVariant['breakdown']> {
  const parts = { block: 0, attention: 0, prompt: 0, head: 0, padding: 0, cache: 0, host: 0 };
  const attentionShare = times === undefined ? 0 : Math.max(0, times.pass - times.withoutPast) / times.pass;
  const decoding = sumOf(contestant.steps.map(({ kind, run }) => (kind === 'decode' ? run : 0)));
  // Which steps made them is not told: each is taken to have made its part.
  const inPasses = decoding === 0 ? 1 : Math.max(0, 1 - propagating / decoding);
  for (const step of contestant.steps) {
    parts.host += step.duration - step.run;
    if (step.kind === 'prefill') {
      parts.prompt += step.run;
      continue;
    }
    const run = step.run * inPasses;
    parts.cache += step.run - run;
    const head = times === undefined ? 0 : Math.min(run, timeAt(times.heads, step.heads));
    parts.head += head;
    const each = (run - head) / Math.max(1, step.rows.length);
    for (const { role } of step.rows) {
      if (role === 'idle') parts.padding += each;
      else if (role === 'background') parts.cache += each;
      else if (role === 'token') {
        parts.attention += each * attentionShare;
        parts.block += each * (1 - attentionShare);
      } else parts.prompt += each;
    }
  }
  const { attention, head, block, host, ...rest } = parts;
  return {
    block,
    host,
    ...(times === undefined ? {} : { attention, head }),
    ...Object.fromEntries(Object.entries(rest).filter(([, milliseconds]) => milliseconds > 0)),
    ...(contestant.idle() > 0 ? { wait: contestant.idle() } : {}),
  };
}

function timelineStep({ start, duration, run, heads, rows, tokens }: StepRecord): TimelineStep {
  const outcome = new Map(
    tokens.map(({ request, finished }) => [request, finished === undefined ? 'leaves' : 'ends'] as const),
  );
  return {
    start,
    duration,
    run,
    heads,
    rows: rows.map(({ request, depth, role }) => {
      const gave = role === 'token' || role === 'prompt' ? outcome.get(request) : undefined;
      return [request, depth, role, gave ?? 'stays'];
    }),
  };
}

function rate(tokens: number, milliseconds: number): number {
  return (1000 * tokens) / milliseconds;
}

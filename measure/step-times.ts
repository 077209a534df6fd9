import type { TimePoint } from '../simulate/time-at.ts';
import type { FullDepthSamples } from './full-depth-samples.ts';
import type { ProbeSamples } from './probe.ts';
import { risingMedians } from './rising-medians.ts';
import { medianOf } from './statistics.ts';

/** Times of the parts of one step, in milliseconds. */
export interface StepTimes {
  /** One loop of the block for the rows of a step, without a head. */
  readonly pass: number;
  /** Where that is from: steps of full depth at work, or probes where there were too few of these. */
  readonly passFrom: 'full-depth' | 'probes';
  /** What heads add, ascending by count, never less for more of them. */
  readonly heads: readonly TimePoint[];
  /** Where these times are likely to be, by the same counts. */
  readonly headEnds: { readonly low: readonly TimePoint[]; readonly high: readonly TimePoint[] };
  /** A pass of the same rows with nothing behind them: what is left of it without attending to a past. */
  readonly withoutPast: number;
  /** A pass of as many rows that all have the mean past: what is left of it without padding. */
  readonly evenPast: number;
}

/** Fewer passes at work than this say less than probes. */
const enoughPasses = 12;

/**
 * What all samples of a run say together: those of probes, and those of full depth at work, which are better, since it
 * is its steps that a bound is about, but know two counts of heads only.
 * @param probes at least one round
 */
export function stepTimes(probes: readonly ProbeSamples[], fullDepth: FullDepthSamples): StepTimes {
  const { points, low, high } = risingMedians([...probes.flatMap(({ heads }) => heads), ...fullDepth.heads]);
  const atWork = fullDepth.passes.length >= enoughPasses;
  const pass = medianOf(atWork ? fullDepth.passes : probes.flatMap(({ passes }) => passes));
  const of = (pick: (samples: ProbeSamples) => readonly number[]) =>
    Math.max(0, pass + medianOf(probes.flatMap((round) => pick(round))));
  return {
    pass,
    passFrom: atWork ? 'full-depth' : 'probes',
    heads: points,
    headEnds: { low, high },
    withoutPast: of(({ withoutPast }) => withoutPast),
    evenPast: of(({ evenPast }) => evenPast),
  };
}

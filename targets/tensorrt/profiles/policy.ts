import type { TensorrtFacts } from '../../../files/manifest.ts';

/**
 * What the sizes of all profiles follow from: the policy of rtc.json, what the graphs were written with, and what a step
 * looks like while the queue never empties.
 */
export interface ProfilePolicy extends Readonly<TensorrtFacts['policy']> {
  /** Positions of a page. */
  readonly pageSize: number;
  /** Groups of rows with a page table of their own; at most `maxRows`. */
  readonly groups: number;
  /** How often the block runs for a token that leaves nowhere else. */
  readonly loops: number;
  /** Mean sizes of a decoding step: its rows, those at depth 0, those that leave. Each is at least 1. */
  readonly tuneFor: { readonly rows: number; readonly entering: number; readonly leaving: number };
}

/** Sizes that a profile goes between; min ≤ opt ≤ max. */
export interface SizeRange {
  readonly min: number;
  readonly opt: number;
  readonly max: number;
}

/** A profile by the names of its sizes, from which those of every input follow. */
export interface NamedProfile {
  /** `decode`, `small` or `prefill`. */
  readonly name: string;
  readonly sizes: ReadonlyMap<string, SizeRange>;
}

/** The range from `min` to `max`, tuned for what is nearest to `opt` in it. */
export function sizeRange(min: number, opt: number, max: number): SizeRange {
  const top = Math.max(min, max);
  return { min, opt: Math.min(top, Math.max(min, opt)), max: top };
}

/** One size and no other. */
export function exactly(size: number): SizeRange {
  return { min: size, opt: size, max: size };
}

/**
 * Where in its context the `place`-th shortest of `rows` sequences is on average, as a share: sequences that are spread
 * evenly over `rows + 1` gaps. A table is as wide as its longest row, so `place` is mostly `rows`.
 */
export function shareOfContext(place: number, rows: number): number {
  return place / (rows + 1);
}

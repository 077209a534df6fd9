import type { Graph, Stage } from '../ir/graph.ts';

/**
 * What a pass does to numbers: `exact` (the same sums in the same order) or `reassociates` (sums change their order,
 * so results agree within rounding). Tests take their tolerance from here.
 */
export type Numerics = 'exact' | 'reassociates';

export interface PassContext {
  /** Says what was done, or why something was not: shown by RTC_DEBUG and `rtc inspect`, never needed to go on. */
  readonly note: (message: string) => void;
  /** Tells the program what was decided, by name, so that a package can say so: `strategy`, `keep`. */
  readonly fact?: (name: string, value: string) => void;
}

/** What a pass was made with, as JSON: enough to make it again when a broken one is replayed. */
export type PassOptions = Readonly<Record<string, string | number | boolean | readonly number[]>>;

/** A step from one stage to the next, such as finding the loop. */
export interface Pass<From extends Stage, To extends Stage> {
  readonly name: string;
  /** Left out where there is nothing to choose. */
  readonly options?: PassOptions;
  readonly numerics: Numerics;
  /** True when names or types of inputs and outputs change. */
  readonly changesInterface: boolean;
  readonly run: (graph: Graph<From>, context: PassContext) => Graph<To>;
}

/** A pass that works at every stage and stays there, such as clean-up. */
export interface StablePass {
  readonly name: string;
  /** Left out where there is nothing to choose. */
  readonly options?: PassOptions;
  readonly numerics: Numerics;
  readonly changesInterface: boolean;
  readonly run: <S extends Stage>(graph: Graph<S>, context: PassContext) => Graph<S>;
}

/** Runs a pass and whatever goes with it: verifying, timing, dumping. A pipeline is a function that is handed one. */
export interface RunPass {
  <S extends Stage>(pass: StablePass, graph: Graph<S>): Graph<S>;
  <From extends Stage, To extends Stage>(pass: Pass<From, To>, graph: Graph<From>): Graph<To>;
  /** Runs passes on another graph of the same model, whose name stands in front of theirs in dumps. */
  readonly branch: (graph: string) => RunPass;
}

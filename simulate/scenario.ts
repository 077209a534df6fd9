import type { StepCosts } from './step-costs.ts';

/**
 * How sequences share steps. `vanilla`: a batch starts together, runs every loop, and the next one starts when its
 * longest sequence has ended. `full-depth`: every loop, but sequences join and leave between tokens. `sequence-wise`:
 * the same with exits, all rows waiting for the deepest; `sequence-wise-shrink`: rows that left are dropped from a
 * token's later loops. `depth-wise`: rows of any depth together, and a row that left goes on at once.
 */
export const simulatedBatchings = [
  'vanilla',
  'full-depth',
  'sequence-wise',
  'sequence-wise-shrink',
  'depth-wise',
] as const;

export type SimulatedBatching = (typeof simulatedBatchings)[number];

/** What becomes of the keys and values of loops that a token skipped. */
export const simulatedKvPolicies = ['last-exited', 'propagate', 'complete', 'shared'] as const;

export type SimulatedKvPolicy = (typeof simulatedKvPolicies)[number];

/** Which ready rows go first when there are more than a step takes. */
export const simulatedRowOrders = ['oldest', 'deepest', 'fullest'] as const;

export type SimulatedRowOrder = (typeof simulatedRowOrders)[number];

/** A sequence to generate. */
export interface SimulatedRequest {
  /** Milliseconds after the start. */
  readonly arrival: number;
  /** 0: its prompt costs nothing, and its first token is decoded like the others. */
  readonly promptTokens: number;
  /** Loop, from 1, behind which each token that is decoded leaves; the token that a prompt gives is not among them. */
  readonly exits: ArrayLike<number>;
}

/** Everything that a simulation has to know. */
export interface Scenario {
  readonly loops: number;
  /** Loops, from 1, behind which a token may leave before the last one. */
  readonly exitsAfter: readonly number[];
  readonly costs: StepCosts;
  /** By arrival. */
  readonly requests: readonly SimulatedRequest[];
  /** Rows of a step, at most. */
  readonly maxRows: number;
  /** Sequences under way at once, at most. */
  readonly maxSequences: number;
  readonly rowOrder: SimulatedRowOrder;
  readonly kvPolicy: SimulatedKvPolicy;
  /** `known`: heads run for tokens that leave; `confidence`: for every row at every exit, to find out whether it does. */
  readonly decision: 'known' | 'confidence';
  /** Tokens of a prompt that run together, at most. */
  readonly prefillChunk: number;
}

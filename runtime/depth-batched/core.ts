import type { Diagnostic, Result } from '../../files/diagnostics.ts';
import type { FinishReason, GenerationRequest } from './request.ts';

/** What becomes of the keys and values of loops that a token skipped. */
export type KvPolicy = 'last-exited' | 'propagate' | 'complete' | 'shared';

/**
 * How sequences share steps. `depth-wise`: rows of any depth together, a row that leaves makes room at once. The others
 * are what it is measured against: all rows of a batch start a token together; `sequence-wise` runs every row until the
 * deepest has left, `sequence-wise-shrink` drops rows that left from the batch's later loops. Sequences join and leave
 * between tokens. The same exits give the same tokens in all three.
 */
export type Batching = 'depth-wise' | 'sequence-wise' | 'sequence-wise-shrink';

/** Which ready rows go first when there are more than a step takes. */
export type RowOrder = 'oldest' | 'deepest' | 'fullest';

/** How a core schedules. */
export interface CoreOptions {
  /** Rows of a decoding step at most. */
  readonly maxRows: number;
  /** Sequences that hold pages at once, at most; by default `maxRows`. */
  readonly maxSequences?: number;
  /** Prompt tokens of a sequence that run together, at most; by default 64. */
  readonly prefillChunk?: number;
  /** By default `last-exited`. */
  readonly kvPolicy?: KvPolicy;
  /** By default `depth-wise`. */
  readonly batching?: Batching;
  /** By default `oldest`. */
  readonly rowOrder?: RowOrder;
  /** Tokens that end a sequence. */
  readonly endTokens?: readonly number[];
  /** Threshold of requests that name no exit rule: the model's own. */
  readonly threshold?: number;
  /** Positions that a sequence may have; by default as many as all pages hold. */
  readonly maxPositions?: number;
}

/** A token as it comes. */
export interface TokenEvent {
  readonly request: number;
  readonly token: number;
  /** Loop behind which it was chosen, from 1. */
  readonly exit: number;
  /** Confidence of the choice. */
  readonly confidence: number;
  /** Natural logarithm of the probability of the request's forced token, where it has one. */
  readonly forcedLogProbability?: number;
  /** Set with the last token of its sequence. */
  readonly finished?: FinishReason;
}

/** What one call of the graph did. */
export interface StepReport {
  readonly kind: 'prefill' | 'decode';
  /** Rows in the order of the step; `replay` marks work that was done before a preemption. */
  readonly rows: readonly {
    readonly request: number;
    readonly depth: number;
    readonly tokens: number;
    readonly role: 'prompt' | 'token' | 'background' | 'replay' | 'idle';
  }[];
  /** Heads that were computed. */
  readonly heads: number;
  readonly tokens: readonly TokenEvent[];
  /** Requests that ended without a token in this step: cancelled ones. */
  readonly ended: readonly { readonly request: number; readonly reason: FinishReason }[];
  /** In milliseconds: the whole step, and the part of it inside ONNX Runtime. */
  readonly milliseconds: { readonly total: number; readonly run: number };
}

/** Requests by state, and pages. */
export interface CoreState {
  readonly waiting: number;
  readonly running: number;
  readonly preemptions: number;
  readonly pages: { readonly used: number; readonly total: number };
}

/** The scheduler at work: knows sequences, pages, policies; drives a StepModel; knows no thread and no clock but for times. */
export interface Core {
  /** Takes a request under a number of the caller's; a failure says why it could never be served. */
  readonly submit: (id: number, request: GenerationRequest) => Result<void>;
  /** Ends a request at the next step; unknown and ended ones are ignored. */
  readonly cancel: (id: number) => void;
  /** Runs one call of the graph; undefined when there is nothing to do. */
  readonly step: () => Promise<StepReport | undefined>;
  readonly state: () => CoreState;
  /** Positions that a sequence may have at most: of the model, and of all pages together. */
  readonly maxPositions: number;
}

/** Problems of a request that no waiting would solve. */
export type RequestProblems = readonly Diagnostic[];

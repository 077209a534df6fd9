import type { Result } from '../files/diagnostics.ts';
import type { PackageManifest } from '../files/manifest.ts';
import type { CoreOptions, CoreState, StepReport } from './depth-batched/core.ts';
import type { GenerationRequest } from './depth-batched/request.ts';
import type { SubmitOptions } from './engine/connect-engine.ts';
import type { EngineLimits } from './engine/engine-limits.ts';
import type { RunningRequest } from './engine/running-request.ts';
import type { TextTokenizer } from './tokenizer.ts';

export type { SubmitOptions } from './engine/connect-engine.ts';
export type { EngineLimits } from './engine/engine-limits.ts';
export type { FinishedRequest, RunningRequest } from './engine/running-request.ts';

/**
 * How an engine is set up. Everything has a default that suits a laptop: `maxRows` 16, `maxSequences` as many as rows,
 * `prefillChunk` 64, `kvPolicy` last-exited, `batching` depth-wise, `rowOrder` oldest.
 */
export interface EngineOptions extends Partial<Omit<CoreOptions, 'endTokens' | 'threshold'>> {
  /** Memory for pages, in bytes; by default what `maxSequences` sequences of `maxPositions` need, up to a quarter of the machine's. */
  readonly pageBytes?: number;
  /** Positions that a sequence may have; by default the model's. */
  readonly maxPositions?: number;
  /** Threads of ONNX Runtime; by default every physical core. */
  readonly threads?: number;
}

/** A package at work in a thread of its own: depth-batched, many requests at once. */
export interface Engine {
  readonly manifest: PackageManifest;
  readonly tokenizer: TextTokenizer | undefined;
  readonly limits: EngineLimits;
  /**
   * Takes a request; its tokens come as it runs. Fails when the request could never be served, and once the engine
   * failed or is closed. Never waits: what cannot run yet is queued, without bound.
   */
  readonly submit: (request: GenerationRequest, options?: SubmitOptions) => Result<RunningRequest>;
  /** Rejects with a RuntimeFailure once the engine failed or is closed. Waits for the step that runs. */
  readonly state: () => Promise<CoreState>;
  /** Hears every step; for measuring. Returns what stops it. */
  readonly onStep: (listener: (report: StepReport) => void) => () => void;
  /**
   * Cancels what runs, frees everything and ends the thread, once the step that runs has ended. Call it as often as you
   * like. Until then the engine keeps the process alive, as a server does.
   */
  readonly close: () => Promise<void>;
}

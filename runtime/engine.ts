import type { Diagnostic, Result } from '../files/diagnostics.ts';
import type { PackageManifest } from '../files/manifest.ts';
import type { CoreOptions, CoreState, StepReport, TokenEvent } from './depth-batched/core.ts';
import type { FinishReason, GenerationRequest } from './depth-batched/request.ts';
import type { TextTokenizer } from './tokenizer.ts';

/** How an engine is set up. Everything has a default that suits a laptop. */
export interface EngineOptions extends Partial<Omit<CoreOptions, 'endTokens' | 'threshold'>> {
  /** Memory for pages, in bytes; by default what `maxSequences` sequences of `maxPositions` need, up to a quarter of the machine's. */
  readonly pageBytes?: number;
  /** Positions that a sequence may have; by default the model's. */
  readonly maxPositions?: number;
  /** Threads of ONNX Runtime. */
  readonly threads?: number;
}

/** What an engine takes, stated before it starts. */
export interface EngineLimits {
  readonly maxRows: number;
  readonly maxSequences: number;
  /** Positions of the longest sequence that can be served. */
  readonly maxPositions: number;
  readonly pages: number;
  /** Bytes of all pages. */
  readonly pageBytes: number;
}

/** A request on its way. Iterate over it for its tokens as they come. */
export interface RunningRequest extends AsyncIterable<TokenEvent> {
  readonly id: number;
  /** All new tokens with their exits, once it has ended. Rejects with a RuntimeFailure when ONNX Runtime failed. */
  readonly done: Promise<{
    readonly tokens: readonly number[];
    readonly exits: readonly number[];
    readonly finished: FinishReason;
  }>;
  readonly cancel: () => void;
}

/** A package at work in a thread of its own: depth-batched, many requests at once. */
export interface Engine {
  readonly manifest: PackageManifest;
  readonly tokenizer: TextTokenizer | undefined;
  readonly limits: EngineLimits;
  /** Fails when the request could never be served. */
  readonly submit: (request: GenerationRequest) => Result<RunningRequest>;
  readonly state: () => Promise<CoreState>;
  /** Hears every step; for measuring. Returns what stops it. */
  readonly onStep: (listener: (report: StepReport) => void) => () => void;
  /** Cancels what runs, frees everything. */
  readonly close: () => Promise<void>;
}

export type EngineProblems = readonly Diagnostic[];

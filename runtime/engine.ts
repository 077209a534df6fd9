import { type Diagnostic, type Result, success } from '../files/diagnostics.ts';
import type { PackageManifest } from '../files/manifest.ts';
import { type Package, readPackage } from '../files/package.ts';
import type { CoreOptions, CoreState, StepReport } from './depth-batched/core.ts';
import type { GenerationRequest } from './depth-batched/request.ts';
import { stepShape } from './depth-batched/step-shape.ts';
import { readEndTokens } from './end-tokens.ts';
import { checkRequest, type RequestLimits } from './engine/check-request.ts';
import { connectEngine, type SubmitOptions } from './engine/connect-engine.ts';
import { type EngineLimits, engineLimits, machineMemory } from './engine/engine-limits.ts';
import type { RunningRequest } from './engine/running-request.ts';
import { startWorker, workerEntry } from './engine/start-worker.ts';
import type { WorkerStart } from './engine/worker-start.ts';
import { maxPositions } from './generate-options.ts';
import { loadTokenizer, type TextTokenizer } from './tokenizer.ts';

export type { SubmitOptions } from './engine/connect-engine.ts';
export type { EngineLimits } from './engine/engine-limits.ts';
export type { FinishedRequest, RunningRequest } from './engine/running-request.ts';

/**
 * How an engine is set up. Everything has a default that suits a laptop: `maxRows` 16, `maxSequences` as many as rows,
 * `prefillChunk` 64, `kvPolicy` last-exited, `batching` depth-wise, `rowOrder` oldest.
 */
export interface EngineOptions extends Partial<Omit<CoreOptions, 'endTokens' | 'threshold' | 'maxPositions'>> {
  /** Memory for pages, in bytes; by default what `maxSequences` sequences of `maxPositions` need, up to a quarter of the machine's. */
  readonly pageBytes?: number;
  /** Positions that a sequence may have; by default the model's. */
  readonly maxPositions?: number;
  /**
   * Writes all pages once before it starts, for a server: no step then waits for the system to find memory. By default
   * the system hands memory out as pages are first used.
   */
  readonly warmPages?: boolean;
  /** Threads of ONNX Runtime; by default every physical core. */
  readonly threads?: number;
}

/** A package at work in a thread of its own: depth-batched, many requests at once. */
export interface Engine {
  readonly manifest: PackageManifest;
  readonly tokenizer: TextTokenizer | undefined;
  readonly limits: EngineLimits;
  /**
   * What is wrong with a request that no waiting would mend, all of it; empty when {@link submit} takes it.
   * @param name what messages call its prompt; by default `The prompt`
   */
  readonly check: (request: GenerationRequest, name?: string) => readonly Diagnostic[];
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

/**
 * Starts an engine on a package of the form `depth-batched` that `rtc compile` wrote. Pages are reserved here, and
 * nothing of their kind later: {@link Engine.limits} says what they take, {@link planEngine} says so before. Fails when
 * the package is none or of another form, when options make no sense, when the machine has less memory than they ask
 * for, and when ONNX Runtime is missing or refuses the graph.
 * @param folder as the user names it
 */
export async function openEngine(folder: string, options: EngineOptions = {}): Promise<Result<Engine>> {
  const read = await readPackage(folder, { check: 'sizes' });
  return read.ok ? startEngine(read.value, options) : read;
}

/** {@link openEngine} for a package that was read. */
export async function startEngine({ folder, manifest }: Package, options: EngineOptions = {}): Promise<Result<Engine>> {
  const shape = stepShape(manifest);
  if (!shape.ok) return shape;
  const planned = planEngine(manifest, options);
  if (!planned.ok) return planned;
  const limits = planned.value;
  const tokenizer = await loadTokenizer(folder);
  if (!tokenizer.ok) return tokenizer;

  const { pageBytes: _, warmPages = false, threads, ...core } = options;
  const threshold = manifest.exits?.threshold;
  const start: WorkerStart = {
    package: { folder, manifest },
    model: {
      pages: limits.pages,
      boundaryPages: limits.boundaryPages,
      warm: warmPages,
      ...(threads === undefined ? {} : { threads }),
    },
    core: {
      ...core,
      maxRows: limits.maxRows,
      maxSequences: limits.maxSequences,
      maxPositions: limits.maxPositions,
      endTokens: await readEndTokens(folder, manifest),
      ...(threshold === undefined ? {} : { threshold }),
    },
  };
  const ends: RequestLimits = {
    vocabulary: shape.value.vocabulary,
    loops: shape.value.loops,
    positions: limits.maxPositions,
    whose: limits.maxPositions < maxPositions(manifest) ? 'engine' : 'model',
  };
  const check = (request: GenerationRequest, name?: string) => checkRequest(ends, request, name);
  const connected = await connectEngine((listener) => startWorker(workerEntry(), start, listener), check);
  if (!connected.ok) return connected;
  return success({ manifest, limits, check, tokenizer: tokenizer.value, ...connected.value });
}

/** What an engine with these options would take; fails as {@link openEngine} would. Allocates nothing. */
export function planEngine(manifest: PackageManifest, options: EngineOptions = {}): Result<EngineLimits> {
  const shape = stepShape(manifest);
  if (!shape.ok) return shape;
  return engineLimits(shape.value, maxPositions(manifest), options, machineMemory());
}

import { type ResourceLimits, Worker } from 'node:worker_threads';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { RuntimeFailure } from '../session.ts';
import { gateBytes, openGate } from './gate.ts';
import type { FromWorker, ToWorker } from './messages.ts';

/** A worker as the thread that started it sees it. */
export interface EngineWorker {
  /** What is posted in one turn arrives together: requests that come at once begin in the same step, every time. */
  readonly post: (message: ToWorker) => void;
  /** Resolves when the thread has ended, in whatever way. It ends by itself once it is told to close, or has failed. */
  readonly gone: Promise<void>;
}

export interface WorkerListener {
  readonly onMessage: (message: FromWorker) => void;
  /** Once, when the thread is of no use any more; not when it was told to close. */
  readonly onFailure: (failure: RuntimeFailure) => void;
}

/**
 * Where the worker's code is. Node 20 runs no TypeScript: from source, as tests have it, the worker is the one in dist.
 */
export function workerEntry(): URL {
  const fromSource = import.meta.url.endsWith('.ts');
  return new URL(fromSource ? '../../dist/runtime/engine/worker.js' : './worker.js', import.meta.url);
}

/** Milliseconds that the end of a process waits for a step; the longest steps, of prompts on large models, are seconds. */
const patience = 30_000;

/**
 * Starts a worker that begins with `data` and a `gate` (see {@link openGate}) as its workerData.
 * The process does not end before it, and never in the middle of one of its steps.
 */
export function startWorker(
  entry: URL,
  data: object,
  { onMessage, onFailure }: WorkerListener,
  resourceLimits: ResourceLimits = {},
): EngineWorker {
  const buffer = new SharedArrayBuffer(gateBytes);
  const gate = openGate(buffer);
  const worker = new Worker(entry, { name: 'rtc-engine', workerData: { ...data, gate: buffer }, resourceLimits });
  const beforeExit = () => gate.shut(patience);
  process.once('exit', beforeExit);
  let settled = false;
  const fail = (diagnostic: Diagnostic, cause?: unknown) => {
    if (settled) return;
    settled = true;
    onFailure(new RuntimeFailure(diagnostic, cause === undefined ? undefined : { cause }));
  };
  worker.on('message', (message: FromWorker) => {
    if (message.kind === 'failed') fail(message.diagnostic, message.error);
    if (message.kind === 'closed') {
      settled = true;
      // It would end by itself, but for what others may have loaded into every thread of this process.
      void worker.terminate();
    }
    onMessage(message);
  });
  worker.on('error', (error) => fail(crashed(error), error));
  const gone = new Promise<void>((resolve) => {
    worker.on('exit', (code) => {
      process.off('exit', beforeExit);
      fail(crashed(new Error(`its thread ended with code ${code}`)));
      resolve();
    });
  });
  let said: ToWorker[] = [];
  const post = (message: ToWorker) => {
    if (said.push(message) > 1) return;
    queueMicrotask(() => {
      worker.postMessage(said);
      said = [];
    });
  };
  return { gone, post };
}

function crashed(error: unknown): Diagnostic {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return {
      severity: 'error',
      code: 'out-of-memory',
      message: 'The engine ran out of memory.',
      hint: 'Let fewer requests wait at once, or give Node more with --max-old-space-size.',
    };
  }
  return { severity: 'error', code: 'engine-failed', message: `The engine failed: ${message.replace(/\.?$/, '.')}` };
}

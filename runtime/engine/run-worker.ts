import { parentPort, workerData } from 'node:worker_threads';
import type { Diagnostic, Result } from '../../files/diagnostics.ts';
import type { Core } from '../depth-batched/core.ts';
import { RuntimeFailure } from '../session.ts';
import { type Gate, openGate } from './gate.ts';
import type { FromWorker } from './messages.ts';
import { serveCore } from './serve-core.ts';

/** What a worker works with. */
export interface OpenCore {
  readonly core: Core;
  /** Frees what the core runs on. */
  readonly close: () => Promise<void>;
}

/**
 * The life of a worker: opens a core, serves it, frees it, and lets the thread end.
 * @param open is given what the engine's start said
 */
export async function runWorker<Start>(open: (start: Start) => Promise<Result<OpenCore>>): Promise<void> {
  const port = parentPort;
  if (port === null) throw new Error('This is no worker.');
  const start = workerData as Start & { readonly gate: SharedArrayBuffer };
  const gate = openGate(start.gate);
  const post = (message: FromWorker) => port.postMessage(message);
  // Bugs that end this thread are not to keep the process waiting at the gate.
  process.once('exit', gate.leave);
  let opened: OpenCore | undefined;
  try {
    const result = await inside(gate, () => open(start));
    if (result.ok) {
      opened = result.value;
      post({ kind: 'opened' });
      await serveCore(opened.core, port, gate);
    } else {
      post({ kind: 'refused', diagnostics: result.diagnostics });
    }
  } catch (error) {
    const diagnostic = diagnosticOf(error);
    post({ kind: 'failed', diagnostic, ...(diagnostic.code === 'internal-error' ? { error } : {}) });
  }
  try {
    if (opened !== undefined) await inside(gate, opened.close);
  } catch (error) {
    // When it failed before, that was said.
    post({ kind: 'failed', diagnostic: diagnosticOf(error) });
  }
  post({ kind: 'closed' });
  port.close();
}

/** Does work of ONNX Runtime's, which the end of the process waits for; never settles once the process ends. */
async function inside<T>(gate: Gate, work: () => Promise<T>): Promise<T> {
  if (!gate.enter()) await new Promise(() => {});
  return work().finally(gate.leave);
}

function diagnosticOf(error: unknown): Diagnostic {
  if (error instanceof RuntimeFailure) return error.diagnostic;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RangeError && /allocation failed|Invalid typed array length/.test(message)) {
    return {
      severity: 'error',
      code: 'out-of-memory',
      message: `There is not enough memory for the pages: ${message}.`,
      hint: 'Lower pageBytes, maxSequences or maxPositions.',
    };
  }
  return { severity: 'error', code: 'internal-error', message };
}

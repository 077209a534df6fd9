import { afterEach } from 'vitest';
import type { Diagnostic, Result } from '../../../files/diagnostics.ts';
import type { TokenEvent } from '../../../runtime/depth-batched/core.ts';
import type { GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import { type ConnectedEngine, connectEngine } from '../../../runtime/engine/connect-engine.ts';
import { startWorker } from '../../../runtime/engine/start-worker.ts';

/** What the worker of `fake-worker.js` does wrong, and how many rows a step of it has. */
export interface FakeOptions {
  readonly open?: 'refuse' | 'throw' | 'memory';
  readonly close?: 'throw';
  readonly maxRows?: number;
  readonly check?: (request: GenerationRequest) => readonly Diagnostic[];
}

const open: ConnectedEngine[] = [];
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});

export async function tryFakeEngine({ check = () => [], ...fake }: FakeOptions = {}): Promise<Result<ConnectedEngine>> {
  const entry = new URL('./fake-worker.js', import.meta.url);
  const engine = await connectEngine(
    (listener) => startWorker(entry, { fake }, listener, { maxOldGenerationSizeMb: 32 }),
    check,
  );
  if (engine.ok) open.push(engine.value);
  return engine;
}

/** An engine with a thread but without a model; closed behind the test. */
export async function fakeEngine(options: FakeOptions = {}): Promise<ConnectedEngine> {
  return given(await tryFakeEngine(options));
}

export function given<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(result.diagnostics.map(({ code, message }) => `${code}: ${message}`).join('\n'));
  return result.value;
}

export async function collect(tokens: AsyncIterable<TokenEvent>): Promise<TokenEvent[]> {
  const all: TokenEvent[] = [];
  for await (const token of tokens) all.push(token);
  return all;
}

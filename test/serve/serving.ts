import { onTestFinished } from 'vitest';
import { createServer, type Server } from '../../serve/create-server.ts';
import type { RequestReport, ServerOptions } from '../../serve/server-options.ts';
import { type FakeEngine, type FakeOptions, fakeEngine } from './fake-engine.ts';

/** A server with its engine, on a port of its own, until the test ends. */
export interface Serving {
  readonly engine: FakeEngine;
  readonly server: Server;
  readonly url: string;
  readonly port: number;
  /** Requests for text that have ended. */
  readonly ended: readonly RequestReport[];
  readonly failures: readonly unknown[];
  readonly get: (path: string) => Promise<Answer>;
  readonly post: (path: string, body: unknown, init?: RequestInit) => Promise<Answer>;
  /** The documents of an answer of server-sent events, `[DONE]` among them. */
  readonly events: (path: string, body: object) => Promise<readonly unknown[]>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read documents of many shapes
  readonly json: any;
}

export async function serving(fake: FakeOptions = {}, options: ServerOptions = {}): Promise<Serving> {
  const engine = fakeEngine(fake);
  const ended: RequestReport[] = [];
  const failures: unknown[] = [];
  const server = createServer(engine, '1.2.3', {
    ...options,
    onEnded: (report) => ended.push(report),
    onFailure: (error) => failures.push(error),
  });
  const listening = await server.listen({ host: '127.0.0.1', port: 0 });
  if (!listening.ok) throw new Error(listening.diagnostics[0]!.message);
  onTestFinished(async () => {
    await server.stop(0);
    await engine.close();
  });
  const url = listening.value;
  const read = async (response: Response): Promise<Answer> => {
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  };
  const send = (path: string, body: unknown, init: RequestInit = {}) =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    });
  return {
    engine,
    server,
    url,
    port: Number(new URL(url).port),
    ended,
    failures,
    get: async (path) => read(await fetch(url + path)),
    post: async (path, body, init) => read(await send(path, body, init)),
    events: async (path, body) => {
      const response = await send(path, { ...body, stream: true });
      if (response.status !== 200) throw new Error(await response.text());
      return eventsOf(await response.text());
    },
  };
}

/** Server-sent events as they should be: every one a line of data and an empty line. */
export function eventsOf(text: string): readonly unknown[] {
  const blocks = text.split('\n\n');
  if (blocks.pop() !== '') throw new Error('the last event is cut');
  return blocks.map((block) => {
    const [, data] = /^data: (.*)$/.exec(block) ?? [];
    if (data === undefined) throw new Error(`no event: ${block}`);
    return data === '[DONE]' ? data : JSON.parse(data);
  });
}

/** Waits until something holds; fails after ten seconds. */
export async function eventually(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); ) {
    if (Date.now() > end) throw new Error(`it never came to pass: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

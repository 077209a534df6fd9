import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import { type Engine, openEngine } from '../../runtime/engine.ts';
import { createServer, type Server } from '../../serve/create-server.ts';
import type { RequestReport } from '../../serve/server-options.ts';
import { models } from '../cli/rtc.ts';
import { randomStream } from '../support/random.ts';
import { rawClient, rawPost } from './raw-client.ts';
import { eventsOf } from './serving.ts';

let scratch: string;
let engine: Engine;
let server: Server;
let url: string;
const ended: RequestReport[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-serve-engine-'));
  const out = join(scratch, 'kjv');
  await compile({ model: join(models, 'kjv-relaxed'), form: 'depth-batched', out });
  // Pages for two long sequences, and eight that want some.
  const opened = await openEngine(out, { threads: 1, maxRows: 4, maxSequences: 8, pageBytes: 4_000_000 });
  if (!opened.ok) throw new Error(opened.diagnostics[0]!.message);
  engine = opened.value;
  server = createServer(engine, '0', { maxQueue: 30, maxBody: 20_000, onEnded: (report) => ended.push(report) });
  const listening = await server.listen({ host: '127.0.0.1', port: 0 });
  if (!listening.ok) throw new Error('no port');
  url = listening.value;
});
afterAll(async () => {
  await server.stop(0);
  await engine.close();
  await rm(scratch, { recursive: true });
});

const post = (body: object, signal?: AbortSignal) =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });

const prompts = ['In the beginning', 'And God said', 'Blessed are', 'Woe unto'] as const;

test('killed clients, half requests and large bodies change nothing for the others, and leave nothing behind', async () => {
  const random = randomStream('clients');
  const below = (n: number) => Math.floor(random() * n);
  const body = (prompt: number, i: number) => ({
    prompt: prompts[prompt],
    max_tokens: 8 + 6 * prompt,
    // What is drawn depends on nothing but the seed, whoever shares the batch.
    seed: prompt,
    exit_threshold: 0.6,
    stream: i % 2 === 0,
  });
  const alone = await Promise.all(
    prompts.map(async (_, prompt) => {
      const answer = (await (await post(body(prompt, 1))).json()) as { choices: { text: string }[] };
      return answer.choices[0]!.text;
    }),
  );
  expect(alone.map((text) => text.length).every((length) => length > 8)).toBe(true);

  let whole = 0;
  const client = async (i: number) => {
    const kind = i % 5;
    if (kind === 3) {
      const { send, socket } = await rawClient(Number(new URL(url).port));
      send(rawPost(body(0, i)).slice(0, -below(100)));
      await new Promise((resolve) => setTimeout(resolve, below(60)));
      socket.destroy();
      return;
    }
    if (kind === 4) {
      const { status } = await post({ prompt: 'a'.repeat(30_000) });
      expect(status).toBe(413);
      return;
    }
    const prompt = below(prompts.length);
    const abort = new AbortController();
    const timer = kind === 2 ? setTimeout(() => abort.abort(), below(100)) : undefined;
    try {
      const response = await post(body(prompt, i), abort.signal);
      const text = await response.text();
      expect(response.status, text).toBe(200);
      if (i % 2 !== 0) expect(JSON.parse(text).choices[0].text).toBe(alone[prompt]);
      else {
        const chunks = eventsOf(text).slice(0, -1) as { choices: { text: string }[] }[];
        expect(chunks.map(({ choices }) => choices[0]!.text).join('')).toBe(alone[prompt]);
      }
      whole++;
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error;
    } finally {
      clearTimeout(timer);
    }
  };
  let next = 0;
  const worker = async () => {
    while (next < 150) await client(next++);
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  expect(whole).toBeGreaterThanOrEqual(60);
  expect(ended.some(({ outcome }) => outcome === 'disconnected')).toBe(true);
  await expect
    .poll(async () => {
      const { running, waiting, pages } = await engine.state();
      return { running, waiting, pages: pages.used };
    })
    .toEqual({ running: 0, waiting: 0, pages: 0 });
  expect((await fetch(`${url}/health`)).status).toBe(200);
});

import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { StepReport } from '../../../runtime/depth-batched/core.ts';
import { RuntimeFailure } from '../../../runtime/session.ts';
import { collect, fakeEngine, given, tryFakeEngine } from './fake-engine.ts';

describe('tokens', () => {
  test('come through an iterator and as a whole, each request its own', async () => {
    const engine = await fakeEngine();
    const [a, b] = [
      given(engine.submit({ prompt: [10, 20], maxNewTokens: 3 })),
      given(engine.submit({ prompt: [7], maxNewTokens: 2, forced: [1, 1] })),
    ];
    expect(await collect(a)).toEqual([
      { request: a.id, token: 30, exit: 1, confidence: 0.25 },
      { request: a.id, token: 31, exit: 2, confidence: 0.25 },
      { request: a.id, token: 32, exit: 1, confidence: 0.25, finished: 'length' },
    ]);
    expect(await a.done).toEqual({ tokens: [30, 31, 32], exits: [1, 2, 1], finished: 'length' });
    expect((await collect(b)).map(({ forcedLogProbability }) => forcedLogProbability)).toEqual([-1.5, -1.5]);
  });

  test('of requests that come in one turn come from the same steps, however long the turn takes', async () => {
    const engine = await fakeEngine();
    const rows: number[] = [];
    engine.onStep((report) => rows.push(report.rows.length));
    const requests = [1, 2, 3].map((token) => {
      const until = performance.now() + 20;
      while (performance.now() < until);
      return given(engine.submit({ prompt: [token], maxNewTokens: 2 }));
    });
    await Promise.all(requests.map(({ done }) => done));
    expect(rows).toEqual([3, 3]);
  });

  test('follow from the prompt as it was when it was given', async () => {
    const engine = await fakeEngine();
    const prompt = [10, 20];
    const request = given(engine.submit({ prompt, maxNewTokens: 1 }));
    prompt.push(400);
    expect((await request.done).tokens).toEqual([30]);
  });

  test('wait for whoever comes late, and for several readers', async () => {
    const engine = await fakeEngine();
    const request = given(engine.submit({ prompt: [1], maxNewTokens: 50 }));
    await request.done;
    const [first, second] = await Promise.all([collect(request), collect(request)]);
    expect(first).toHaveLength(50);
    expect(second).toEqual(first);
  });

  test('come as they are made', async () => {
    const engine = await fakeEngine();
    const request = given(engine.submit({ prompt: [-5, 20], maxNewTokens: 5 }));
    let ended = false;
    void request.done.then(() => {
      ended = true;
    });
    const seen: boolean[] = [];
    for await (const _ of request) seen.push(ended);
    expect(seen.slice(0, 3)).toEqual([false, false, false]);
  });

  test('do not keep this thread from its own work', async () => {
    const engine = await fakeEngine();
    const request = given(engine.submit({ prompt: [-5, 400], maxNewTokens: 1 }));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 10);
    await request.done;
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(15);
  });
});

describe('cancelling', () => {
  test.each<[string, (request: { cancel(): void }, abort: AbortController) => void]>([
    ['cancel()', (request) => request.cancel()],
    ['a signal', (_, abort) => abort.abort()],
  ])('%s ends a request before its next step and leaves the others', async (_, cancel) => {
    const engine = await fakeEngine();
    const abort = new AbortController();
    const slow = { prompt: [-5, 30], maxNewTokens: 1000 };
    const request = given(engine.submit(slow, { signal: abort.signal }));
    const other = given(engine.submit({ prompt: [1], maxNewTokens: 6 }));
    const tokens: number[] = [];
    for await (const { token } of request) {
      tokens.push(token);
      if (tokens.length === 2) cancel(request, abort);
    }
    // One more can be on its way.
    expect(tokens.length).toBeLessThanOrEqual(4);
    expect(await request.done).toMatchObject({ tokens, finished: 'cancelled' });
    expect((await other.done).tokens).toHaveLength(6);
    expect((await engine.state()).running).toBe(0);
    request.cancel();
  });

  test('leaving the loop over it', async () => {
    const engine = await fakeEngine();
    const request = given(engine.submit({ prompt: [1], maxNewTokens: 1e9 }));
    for await (const _ of request) break;
    expect(await request.done).toMatchObject({ finished: 'cancelled' });
  });

  test('a signal that aborted before starts nothing', async () => {
    const engine = await fakeEngine();
    const request = given(engine.submit({ prompt: [1], maxNewTokens: 9 }, { signal: AbortSignal.abort() }));
    expect(await request.done).toEqual({ tokens: [], exits: [], finished: 'cancelled' });
    expect(await collect(request)).toEqual([]);
    expect((await engine.state()).preemptions).toBe(0);
  });

  test('forgets the signal when the request has ended', async () => {
    const engine = await fakeEngine();
    const listeners = new Set<unknown>();
    const signal = {
      aborted: false,
      addEventListener: (_: string, listener: unknown) => listeners.add(listener),
      removeEventListener: (_: string, listener: unknown) => listeners.delete(listener),
    };
    const request = given(
      engine.submit({ prompt: [1], maxNewTokens: 1 }, { signal: signal as unknown as AbortSignal }),
    );
    expect(listeners.size).toBe(1);
    await request.done;
    expect(listeners.size).toBe(0);
  });
});

test('a request that comes while others run takes part in the next step', async () => {
  const engine = await fakeEngine();
  const long = given(engine.submit({ prompt: [-5, 20], maxNewTokens: 1000 }));
  const [first] = await Promise.all([long[Symbol.asyncIterator]().next()]);
  expect(first.done).toBe(false);
  expect((await given(engine.submit({ prompt: [5], maxNewTokens: 1 })).done).tokens).toEqual([5]);
  long.cancel();
  expect((await long.done).tokens.length).toBeLessThan(10);
});

test('steps are reported while somebody listens, twice when two do', async () => {
  const engine = await fakeEngine();
  const reports: StepReport[] = [];
  const stops = [engine.onStep((report) => reports.push(report)), engine.onStep((report) => reports.push(report))];
  const request = given(engine.submit({ prompt: [1], maxNewTokens: 2 }));
  await request.done;
  expect(reports).toHaveLength(4);
  expect(reports[2]).toEqual({
    kind: 'decode',
    rows: [{ request: request.id, depth: 0, tokens: 1, role: 'token' }],
    heads: 1,
    tokens: [{ request: request.id, token: 2, exit: 2, confidence: 0.25, finished: 'length' }],
    ended: [],
    milliseconds: { total: 2, run: 1 },
  });
  for (const stop of stops) stop();
  await given(engine.submit({ prompt: [1], maxNewTokens: 2 })).done;
  expect(reports).toHaveLength(4);
});

describe('what goes wrong', () => {
  test('a request that cannot be served fails at once, or as soon as the core says so', async () => {
    const problem = { severity: 'error', code: 'empty-prompt', message: 'No.' } as const;
    const engine = await fakeEngine({ check: ({ prompt }) => (prompt.length === 0 ? [problem] : []) });
    expect(engine.submit({ prompt: [], maxNewTokens: 1 })).toEqual({ ok: false, diagnostics: [problem] });
    const late = given(engine.submit({ prompt: [-6], maxNewTokens: 1 }));
    await expect(late.done).rejects.toMatchObject({ diagnostic: { code: 'rejected-by-core' } });
    // That is its own fault only.
    expect((await given(engine.submit({ prompt: [1], maxNewTokens: 1 })).done).tokens).toEqual([1]);
  });

  test.each([
    ['ONNX Runtime fails', -2, 'onnxruntime-failed'],
    ['a bug is hit', -1, 'internal-error'],
    ['the thread ends', -3, 'engine-failed'],
    ['memory is full', -4, 'out-of-memory'],
  ])('when %s, every request hears of it, and the next is refused', async (_, cause, code) => {
    const engine = await fakeEngine();
    const requests = [
      given(engine.submit({ prompt: [1], maxNewTokens: 1e9 })),
      given(engine.submit({ prompt: [cause], maxNewTokens: 2 })),
    ];
    const failure = expect.objectContaining({ diagnostic: expect.objectContaining({ severity: 'error', code }) });
    for (const request of requests) {
      await expect(collect(request)).rejects.toEqual(failure);
      await expect(request.done).rejects.toBeInstanceOf(RuntimeFailure);
    }
    expect(engine.submit({ prompt: [1], maxNewTokens: 1 })).toMatchObject({ ok: false, diagnostics: [{ code }] });
    await expect(engine.state()).rejects.toEqual(failure);
    await engine.close();
  });

  test('a bug comes with what was thrown', async () => {
    const engine = await fakeEngine();
    const { done } = given(engine.submit({ prompt: [-1], maxNewTokens: 1 }));
    await expect(done).rejects.toMatchObject({ cause: { message: 'three is not four' } });
  });

  test('a bug while a package opens is thrown', async () => {
    await expect(tryFakeEngine({ open: 'throw' })).rejects.toMatchObject({ cause: { message: 'it does not open' } });
  });

  test.each([
    ['refuse', 'refused-to-open'],
    ['memory', 'out-of-memory'],
  ] as const)('a package that does not open (%s) is %s', async (open, code) => {
    expect(await tryFakeEngine({ open })).toMatchObject({ ok: false, diagnostics: [{ code }] });
  });
});

describe('close', () => {
  test('cancels what runs, in the middle of a step, and does so once', async () => {
    const engine = await fakeEngine();
    const request = given(engine.submit({ prompt: [-5, 100], maxNewTokens: 1e9 }));
    const reading = collect(request);
    await sleep(50);
    await Promise.all([engine.close(), engine.close()]);
    expect(await request.done).toMatchObject({ finished: 'cancelled' });
    expect(await reading).toHaveLength((await request.done).tokens.length);
    expect(engine.submit({ prompt: [1], maxNewTokens: 1 })).toMatchObject({
      ok: false,
      diagnostics: [{ code: 'engine-closed' }],
    });
    await expect(engine.state()).rejects.toMatchObject({ diagnostic: { code: 'engine-closed' } });
    await engine.close();
  });

  test('comes to an end when freeing fails', async () => {
    const engine = await fakeEngine({ close: 'throw' });
    await engine.close();
  });
});

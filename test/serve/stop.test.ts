import { describe, expect, test } from 'vitest';
import { rawClient, rawPost } from './raw-client.ts';
import { eventually, serving } from './serving.ts';

const path = '/v1/completions';

describe('a server that is told to stop', () => {
  test('finishes what runs, and takes nothing more', async () => {
    const { post, server, engine, port, url, ended } = await serving({ pace: 10 });
    const running = post(path, { prompt: 'a', max_tokens: 20 });
    const open = await rawClient(port);
    open.send('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const busy = await rawClient(port);
    busy.send(rawPost({ prompt: 'a', max_tokens: 20, stream: true }) + rawPost({ prompt: 'b' }));
    await eventually(() => engine.live() === 3 && open.received().includes('ok'));
    const stopped = server.stop(5000);
    // A connection on which nothing runs is closed at once; one that is busy hears it with its next request.
    await open.closed;
    busy.send(rawPost({ prompt: 'c' }));
    await expect(fetch(url)).rejects.toThrow();
    expect((await running).json.choices[0].finish_reason).toBe('length');
    expect(await stopped).toBe(0);
    await busy.closed;
    expect(busy.received()).toContain('[DONE]');
    expect(busy.received()).toContain('shutting_down');
    expect(ended.map(({ outcome }) => outcome)).toEqual(['ok', 'ok', 'ok']);
    expect(engine.live()).toBe(0);
  });

  test('gives up what takes longer than its grace', async () => {
    const { post, events, server, engine, ended } = await serving({ pace: 20, maxPositions: 5000 });
    const body = { prompt: 'a', max_tokens: 4000 };
    const answers = Promise.all([post(path, body), events(path, body)]);
    await eventually(() => engine.live() === 2);
    const started = performance.now();
    expect(await server.stop(100)).toBe(2);
    expect(performance.now() - started).toBeLessThan(1500);
    const [whole, streamed] = await answers;
    expect(whole).toMatchObject({ status: 503, json: { error: { code: 'shutting_down' } } });
    expect(streamed.at(-1)).toMatchObject({ error: { code: 'shutting_down' } });
    expect(ended.map(({ outcome }) => outcome)).toEqual(['stopped', 'stopped']);
    expect(engine.live()).toBe(0);
  });

  test('does not wait for clients that do not read, or have not asked yet', async () => {
    const { port, server, engine } = await serving({ maxPositions: 300_000, maxSequences: 100 });
    const silent = await rawClient(port);
    const half = await rawClient(port);
    half.send('POST /v1/completions HTTP/1.1\r\nHost: loc');
    const deaf = await rawClient(port);
    deaf.socket.pause();
    deaf.send(rawPost({ prompt: 'a'.repeat(200_000), n: 100, echo: true, max_tokens: 1000, stream: true }));
    await eventually(() => engine.live() > 0);
    const started = performance.now();
    expect(await server.stop(100)).toBe(1);
    expect(performance.now() - started).toBeLessThan(3000);
    await Promise.all([silent.closed, half.closed]);
    expect(engine.live()).toBe(0);
  });
});

test('what nobody can listen on is said so', async () => {
  const { port } = await serving();
  const { createServer } = await import('../../serve/create-server.ts');
  const { fakeEngine } = await import('./fake-engine.ts');
  const listen = async (host: string, taken: number) => {
    const other = createServer(fakeEngine(), '1.2.3');
    const listening = await other.listen({ host, port: taken });
    await other.stop(0);
    return listening;
  };
  expect(await listen('127.0.0.1', port)).toMatchObject({
    ok: false,
    diagnostics: [{ code: 'cannot-listen', message: `Something else listens on 127.0.0.1:${port}.` }],
  });
  expect(await listen('203.0.113.1', 0)).toMatchObject({ ok: false, diagnostics: [{ code: 'cannot-listen' }] });
});

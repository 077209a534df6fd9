import { request as httpRequest } from 'node:http';
import { describe, expect, test } from 'vitest';
import { rawClient, rawPost } from './raw-client.ts';
import { eventually, serving } from './serving.ts';

const path = '/v1/completions';
const long = { prompt: 'a', max_tokens: 60 };

describe('the queue', () => {
  test('what does not fit is refused with 429 and when to come again', async () => {
    const { post, engine, ended } = await serving({ pace: 20, maxSequences: 1 }, { maxQueue: 2 });
    const running = [post(path, { ...long, prompt: ['a', 'b'], max_tokens: 5 })];
    await eventually(() => engine.live() === 2);
    const two = await post(path, { ...long, n: 2 });
    expect(two.status).toBe(429);
    expect(two.headers.get('retry-after')).toBe('1');
    expect(two.json.error).toMatchObject({ type: 'rate_limit_error', code: 'queue_full' });
    const one = await post(path, { ...long, max_tokens: 1 });
    expect(one.status).toBe(200);
    expect((await post(path, { ...long, n: 4 })).json.error.code).toBe('too_many_choices');
    await Promise.all(running);
    // And there is room again.
    expect((await post(path, { ...long, n: 3, max_tokens: 1 })).status).toBe(200);
    expect(ended.map(({ outcome }) => outcome).sort()).toEqual(['ok', 'ok', 'ok', 'overloaded', 'refused']);
  });

  test('requests that send no body take their places, but no more than there are', async () => {
    const { port, post, get } = await serving({ maxSequences: 1 }, { maxQueue: 1 });
    const half = await Promise.all(Array.from({ length: 2 }, () => rawClient(port)));
    for (const { send } of half) send(rawPost(long).slice(0, -10));
    await eventually(() => half.every(({ socket }) => socket.bytesWritten > 0));
    const answer = await post(path, long);
    expect(answer.status).toBe(429);
    expect((await get('/health')).status).toBe(200);
    for (const { socket } of half) socket.destroy();
    await eventually(() => half.every(({ socket }) => socket.destroyed));
    await expect.poll(async () => (await post(path, long)).status).toBe(200);
  });
});

describe('clients that go away', () => {
  test.each([true, false])('a request that is cut frees its sequences at once (stream: %s)', async (stream) => {
    const { url, engine, ended } = await serving({ pace: 20, maxPositions: 2000 });
    const abort = new AbortController();
    const answer = fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...long, n: 3, max_tokens: 1000, stream }),
      signal: abort.signal,
    }).then((response) => response.text());
    await eventually(() => engine.live() === 3);
    abort.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => engine.live() === 0);
    await eventually(() => ended.length === 1);
    expect(ended[0]).toMatchObject({ outcome: 'disconnected' });
    expect(engine.cancelled()).toBe(3);
  });

  test('also sequences that wait for their turn, or for a long step', async () => {
    const { url, engine } = await serving({ pace: 60_000, maxSequences: 1 });
    const abort = new AbortController();
    const answer = fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...long, n: 12, stream: true }),
      signal: abort.signal,
    }).then((response) => response.text());
    await eventually(() => engine.live() === 12);
    abort.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => engine.live() === 0);
  });

  test('also requests that were sent ahead of their answers', async () => {
    const { port, engine, ended } = await serving({ pace: 20, maxPositions: 2000 });
    const { send, socket } = await rawClient(port);
    send(rawPost({ ...long, max_tokens: 1000 }).repeat(3));
    await eventually(() => engine.live() === 3);
    socket.destroy();
    await eventually(() => engine.live() === 0 && ended.length === 3);
    expect(ended.map(({ outcome }) => outcome)).toEqual(Array(3).fill('disconnected'));
  });

  test('answers of requests that were sent ahead come in order', async () => {
    const { port } = await serving();
    const { send, received, closed } = await rawClient(port);
    send(
      rawPost({ ...long, max_tokens: 9, stream: true }) + rawPost({ ...long, max_tokens: 1 }, ['Connection: close']),
    );
    await closed;
    const [first, second] = received().split('HTTP/1.1 200 OK').slice(1);
    expect(first).toContain('[DONE]');
    expect(second).toContain('"text":"a"');
  });
});

describe('time', () => {
  test('an answer that takes too long is given up', async () => {
    const { post, events, engine, ended } = await serving({ pace: 30 }, { requestTime: 100 });
    const [whole, streamed] = await Promise.all([post(path, long), events(path, long)]);
    expect(whole.status).toBe(504);
    expect(whole.json.error).toMatchObject({ type: 'server_error', code: 'timeout' });
    expect(streamed.length).toBeGreaterThan(1);
    expect(streamed.at(-1)).toMatchObject({ error: { code: 'timeout' } });
    expect(engine.live()).toBe(0);
    await eventually(() => ended.length === 2);
    expect(ended.map(({ outcome }) => outcome)).toEqual(['timed-out', 'timed-out']);
  });

  test.each<[string, string]>([
    ['nothing', ''],
    ['half a line', 'POST /v1/comp'],
    ['half its headers', 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Ty'],
    ['half its body', rawPost(long).slice(0, -5)],
  ])('a client that sends %s is not waited for', async (_, text) => {
    const { port, engine, get } = await serving({}, { receiveTime: 200 });
    const { send, received, closed } = await rawClient(port);
    if (text !== '') send(text);
    const after = await closed;
    expect(after).toBeGreaterThan(150);
    expect(after).toBeLessThan(2000);
    if (text !== '') expect(received()).toMatch(/^HTTP\/1\.1 408 /);
    expect(engine.submitted).toEqual([]);
    expect((await get('/health')).status).toBe(200);
  });

  test('a client that sends a byte now and then is not either', async () => {
    const { port } = await serving({}, { receiveTime: 200 });
    const { send, closed } = await rawClient(port);
    const bytes = [...rawPost(long)];
    const timer = setInterval(() => send(bytes.shift() ?? ''), 20);
    try {
      expect(await closed).toBeLessThan(2000);
    } finally {
      clearInterval(timer);
    }
  });

  test('a connection without requests is closed after a while', async () => {
    const { port } = await serving({}, { idleTime: 100 });
    const { send, received, closed } = await rawClient(port);
    send('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    // Node allows a second more than it says.
    expect(await closed).toBeLessThan(2500);
    expect(received()).toContain('"ok"');
  });
});

describe('bodies', () => {
  test('that are too large are refused before they are read', async () => {
    const { post, port, engine } = await serving({}, { maxBody: 1000 });
    const { status, json } = await post(path, { prompt: 'a'.repeat(1000) });
    expect({ status, code: json.error.code }).toEqual({ status: 413, code: 'body_too_large' });
    const { send, received, closed } = await rawClient(port);
    send(
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{',
    );
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 413 /);
    expect(engine.submitted).toEqual([]);
  });

  test('that are too large and do not say so are cut off', async () => {
    const { url, ended } = await serving({}, { maxBody: 10_000 });
    const sent = await new Promise<{ readonly status: number | undefined; readonly bytes: number }>((resolve) => {
      let bytes = 0;
      const client = httpRequest(url + path, { method: 'POST', headers: { 'content-type': 'application/json' } });
      const timer = setInterval(() => {
        client.write('"'.padEnd(1000));
        bytes += 1000;
      }, 1);
      const end = (status: number | undefined) => {
        clearInterval(timer);
        client.destroy();
        resolve({ status, bytes });
      };
      client.on('response', ({ statusCode }) => end(statusCode));
      client.on('error', () => end(undefined));
    });
    expect(sent.status).toBe(413);
    expect(sent.bytes).toBeLessThan(200_000);
    await eventually(() => ended.length === 1);
  });

  test.each<[string, string, RegExp]>([
    ['no HTTP', 'In the beginning\r\n\r\n', /^HTTP\/1\.1 400 [\s\S]*"code":"bad_http"/],
    [
      'endless headers',
      `GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}`,
      /^HTTP\/1\.1 431 [\s\S]*"code":"headers_too_large"/,
    ],
    [
      'a body of two lengths',
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
  ])('%s', async (_, text, answer) => {
    const { port, get } = await serving();
    const { send, received, closed } = await rawClient(port);
    send(text);
    await closed;
    expect(received()).toMatch(answer);
    expect((await get('/health')).status).toBe(200);
  });
});

describe('clients that do not read', () => {
  // 20 MB of answer: more than sockets take in.
  const verbose = { prompt: 'a'.repeat(200_000), max_tokens: 2, n: 100, echo: true, stream: true };
  const fake = { maxPositions: 300_000, maxSequences: 100 };

  test('lose their connection, and their sequences end', async () => {
    const { port, engine, ended } = await serving(fake, { stallTime: 200 });
    const { socket, send } = await rawClient(port);
    socket.pause();
    send(rawPost({ ...verbose, max_tokens: 2000 }));
    await eventually(() => ended.length === 1);
    expect(ended[0]).toMatchObject({ outcome: 'disconnected' });
    expect(ended[0]!.seconds).toBeGreaterThan(0.2);
    expect(engine.live()).toBe(0);
  });

  test('but may take their time', async () => {
    const { url, ended } = await serving(fake, { stallTime: 1000 });
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(verbose),
    });
    let bytes = 0;
    let pauses = 0;
    for await (const piece of response.body!) {
      bytes += piece.length;
      if (bytes < 2e6 * pauses) continue;
      pauses++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(bytes).toBeGreaterThan(20e6);
    await eventually(() => ended.length === 1);
    expect(ended[0]).toMatchObject({ outcome: 'ok', newTokens: 200 });
  });
});

describe('who may ask', () => {
  test.each([
    ['localhost', 200],
    ['localhost:1234', 200],
    ['127.0.0.1', 200],
    ['127.9.9.9:80', 200],
    ['[::1]:8000', 200],
    ['model.localhost', 200],
    ['example.com', 403],
    ['localhost.example.com', 403],
    ['127.0.0.1.example.com', 403],
    ['192.168.0.7:8000', 403],
    ['[::ffff:1.2.3.4]', 403],
  ])('Host: %s gets %i', async (host, status) => {
    const { port } = await serving();
    const { send, received, closed } = await rawClient(port);
    send(`GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    await closed;
    expect(received()).toContain(`HTTP/1.1 ${status} `);
  });

  test('anybody, where that was asked for', async () => {
    const { port } = await serving({}, { loopbackOnly: false });
    const { send, received, closed } = await rawClient(port);
    send('GET /v1/models HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n');
    await closed;
    expect(received()).toContain('HTTP/1.1 200 ');
  });
});

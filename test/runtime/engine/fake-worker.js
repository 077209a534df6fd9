// A worker with the life of the real one and a core that needs no model. Plain JavaScript, as threads load it as it is.
import { runWorker } from '../../../dist/runtime/engine/run-worker.js';
import { RuntimeFailure } from '../../../dist/runtime/session.js';

await runWorker(async ({ fake }) => {
  if (fake.open === 'refuse') return failure('refused-to-open');
  if (fake.open === 'throw') throw new Error('it does not open');
  if (fake.open === 'memory') new Float32Array(2 ** 40);
  let closed = false;
  return success({
    core: fakeCore(fake, () => closed),
    close: async () => {
      closed = true;
      if (fake.close === 'throw') throw new Error('it does not close');
    },
  });
});

/**
 * Every step gives each running request its next token: the request's prompt, summed, plus how many it has.
 * A prompt that begins with one of these does something else: -1 throws, -2 fails in ONNX Runtime, -3 ends the thread,
 * -4 fills the memory, -5 blocks every step as long as its second number says, -6 is rejected.
 */
function fakeCore({ maxRows = 4 }, isClosed) {
  const running = new Map();
  const cancelled = new Set();
  let steps = 0;
  return {
    maxPositions: 1000,
    submit: (id, request) => {
      if (request.prompt[0] === -6) return failure('rejected-by-core');
      running.set(id, { ...request, made: 0 });
      return success(undefined);
    },
    cancel: (id) => {
      if (running.has(id)) cancelled.add(id);
    },
    state: () => ({ waiting: 0, running: running.size, preemptions: steps, pages: { used: running.size, total: 9 } }),
    step: async () => {
      if (isClosed()) throw new Error('a step behind the end');
      if (running.size === 0) return undefined;
      steps++;
      const ended = [...cancelled].map((request) => ({ request, reason: 'cancelled' }));
      for (const { request } of ended) running.delete(request);
      cancelled.clear();
      const rows = [...running].slice(0, maxRows);
      for (const [, { prompt }] of rows) misbehave(prompt);
      const tokens = rows.map(([request, { prompt, made, maxNewTokens, forced }]) => ({
        request,
        token: prompt.reduce((sum, token) => sum + token, made),
        exit: 1 + (made % 2),
        confidence: 0.25,
        ...(forced ? { forcedLogProbability: -1.5 } : {}),
        ...(made + 1 === maxNewTokens ? { finished: 'length' } : {}),
      }));
      for (const { request, finished } of tokens) {
        if (finished) running.delete(request);
        else running.get(request).made++;
      }
      return {
        kind: 'decode',
        rows: rows.map(([request]) => ({ request, depth: 0, tokens: 1, role: 'token' })),
        heads: rows.length,
        tokens,
        ended,
        milliseconds: { total: 2, run: 1 },
      };
    },
  };
}

function misbehave([kind, milliseconds]) {
  if (kind === -1) throw new Error('three is not four');
  if (kind === -2) throw new RuntimeFailure({ severity: 'error', code: 'onnxruntime-failed', message: 'It failed.' });
  if (kind === -3) process.exit(7);
  if (kind === -4) for (const all = []; ; ) all.push(new Array(1e5).fill(all.length));
  // As ONNX Runtime does: nothing else happens in this thread.
  if (kind === -5) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function success(value) {
  return { ok: true, value, diagnostics: [] };
}

function failure(code) {
  return { ok: false, diagnostics: [{ severity: 'error', code, message: 'No.' }] };
}

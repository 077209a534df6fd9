import { describe, expect, test } from 'vitest';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { RuntimeFailure } from '../../runtime/session.ts';
import { eventually, type Serving, serving } from './serving.ts';

const completions = '/v1/completions';

describe('parameters that make no sense are refused in the shape of OpenAI', () => {
  test.each<[object | string, number, string, string | null, string]>([
    [{}, 400, 'you must provide a prompt', 'prompt', 'invalid_value'],
    [{ prompt: 5 }, 400, 'expected a string, an array of strings', 'prompt', 'invalid_value'],
    [{ prompt: ['a', 1] }, 400, 'expected a string, an array of strings', 'prompt', 'invalid_value'],
    [{ prompt: [[1], [-1]] }, 400, 'expected a string, an array of strings', 'prompt', 'invalid_value'],
    [{ prompt: [1.5] }, 400, 'expected a string, an array of strings', 'prompt', 'invalid_value'],
    [{ prompt: [] }, 400, 'the list of prompts is empty', 'prompt', 'invalid_value'],
    [{ prompt: '' }, 400, '"prompt" has no tokens', 'prompt', 'empty_prompt'],
    [{ prompt: ['a', ''] }, 400, '"prompt[1]" has no tokens', 'prompt[1]', 'empty_prompt'],
    [
      { prompt: 'a', model: 'gpt-4' },
      404,
      'The model "gpt-4" does not exist. This server has "fake".',
      'model',
      'model_not_found',
    ],
    [{ prompt: 'a', max_tokens: -1 }, 400, 'Invalid "max_tokens": expected at least 0.', 'max_tokens', 'invalid_value'],
    [{ prompt: 'a', max_tokens: 1.5 }, 400, 'expected an integer, got a decimal number', 'max_tokens', 'invalid_type'],
    [{ prompt: 'a', max_tokens: '5' }, 400, 'expected a number, got a string', 'max_tokens', 'invalid_type'],
    [
      { prompt: 'a', max_tokens: 65 },
      400,
      'maximum context length is 64 tokens. "prompt" has 1 and 65 new ones were requested; ask for at most 64.',
      'prompt',
      'context_length_exceeded',
    ],
    [
      { prompt: 'a'.repeat(65) },
      400,
      'maximum context length is 64 tokens, and "prompt" has 65.',
      'prompt',
      'context_length_exceeded',
    ],
    [{ prompt: 'a', temperature: 2.5 }, 400, 'expected at most 2', 'temperature', 'invalid_value'],
    [{ prompt: 'a', top_p: -0.1 }, 400, 'expected at least 0', 'top_p', 'invalid_value'],
    [{ prompt: 'a', top_k: 0 }, 400, 'expected at least 1', 'top_k', 'invalid_value'],
    [{ prompt: 'a', n: 129 }, 400, 'expected at most 128', 'n', 'invalid_value'],
    [{ prompt: 'a', n: 0 }, 400, 'expected at least 1', 'n', 'invalid_value'],
    [{ prompt: 'a', best_of: 2 }, 400, 'make it equal to "n"', 'best_of', 'unsupported_parameter'],
    [
      { prompt: 'a', stop: ['1', '2', '3', '4', '5'] },
      400,
      'there can be 4 stop strings, and these are 5',
      'stop',
      'invalid_value',
    ],
    [{ prompt: 'a', stop: '' }, 400, 'a stop string cannot be empty', 'stop', 'invalid_value'],
    [{ prompt: 'a', stop: [1] }, 400, 'expected a string or an array of strings', 'stop', 'invalid_value'],
    [{ prompt: 'a', stop: 'x'.repeat(1001) }, 400, '1000 characters at most', 'stop', 'invalid_value'],
    [{ prompt: 'a', logprobs: 1 }, 400, 'log probabilities are not supported', 'logprobs', 'invalid_value'],
    [{ prompt: 'a', logprobs: 0 }, 400, 'log probabilities are not supported', 'logprobs', 'invalid_value'],
    [{ prompt: 'a', suffix: 'b' }, 400, 'text cannot be inserted', 'suffix', 'invalid_value'],
    [{ prompt: 'a', presence_penalty: 1 }, 400, 'penalties are not supported', 'presence_penalty', 'invalid_value'],
    [{ prompt: 'a', logit_bias: { 5: 1 } }, 400, 'a bias of logits is not supported', 'logit_bias', 'invalid_value'],
    [
      { prompt: 'a', stream_options: { include_usage: true } },
      400,
      'goes with "stream": true',
      'stream_options',
      'invalid_value',
    ],
    [
      { prompt: 'a', stream_options: { usage: true } },
      400,
      'Unrecognized request argument supplied: stream_options.usage.',
      'stream_options.usage',
      'unknown_parameter',
    ],
    [
      { prompt: 'a', max_token: 5 },
      400,
      'Unrecognized request argument supplied: max_token. Did you mean "max_tokens"?',
      'max_token',
      'unknown_parameter',
    ],
    [{ prompt: 'a', exit_at: 4 }, 400, 'the model has loops 1 to 3', 'exit_at', 'invalid_value'],
    [
      { prompt: 'a', exit_at: 1, exit_threshold: 1 },
      400,
      '"exit_threshold" and "exit_at" do not go together: each decides alone.',
      'exit_at',
      'invalid_value',
    ],
    ['[1]', 400, 'The body has to be a JSON object.', null, 'invalid_type'],
    ['{"prompt": ', 400, 'The body is not JSON: ', null, 'invalid_json'],
    ['{"prompt": "a", "__proto__": {}}', 400, 'The body is not JSON: ', null, 'invalid_json'],
    ['', 400, 'The body is empty', null, 'invalid_json'],
  ])('%j', async (body, status, message, param, code) => {
    const { post, engine } = await serving();
    const answer = await post(completions, body);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(answer.json).toEqual({
      error: { message: expect.stringContaining(message), type: 'invalid_request_error', param, code },
    });
    expect(engine.submitted).toEqual([]);
  });

  test('several at once', async () => {
    const { post } = await serving();
    const { json } = await post(completions, { prompt: 5, max_tokens: -1, tempreture: 1, n: 'x' });
    expect(json.error.problems.map(({ param }: { param: string }) => param).sort()).toEqual([
      'max_tokens',
      'n',
      'prompt',
      'tempreture',
    ]);
    for (const { message } of json.error.problems) expect(json.error.message).toContain(message);
    const later = await post(completions, { prompt: ['', 'b'], model: 'x', exit_at: 9 });
    expect(later.status).toBe(400);
    expect(later.json.error.problems).toHaveLength(3);
  });

  test('nonsense in bulk gets a short answer, soon', async () => {
    const { post } = await serving({}, { chatTemplate: () => ({ ok: true, text: '' }) });
    const started = performance.now();
    const unknown = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`key${i}`, i]));
    const answers = await Promise.all([
      post(completions, { prompt: 'a', ...unknown }),
      post(completions, { prompt: Array(100_000).fill('') }),
      post('/v1/chat/completions', { messages: Array(50_000).fill({ role: 'nobody' }) }),
      post(completions, { prompt: ['a', 'b'], n: 128 }),
    ]);
    for (const { status, text } of answers) {
      expect(status).toBe(400);
      expect(text.length).toBeLessThan(8000);
    }
    expect(answers[1]!.json.error.message).toBe('The request asks for 100000 texts; this server takes 132 at once.');
    expect(answers[3]!.json.error.message).toContain('asks for 256 texts');
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

describe('what is not there', () => {
  test.each<[string, string, number, string]>([
    ['GET', '/', 404, 'unknown_url'],
    ['POST', '/v1/embeddings', 404, 'unknown_url'],
    ['GET', '/v1/completions', 405, 'method_not_supported'],
    ['DELETE', '/v1/completions?x=1', 405, 'method_not_supported'],
    ['POST', '/v1/models', 405, 'method_not_supported'],
    ['GET', '/v1/models/gpt-4', 404, 'model_not_found'],
    ['GET', '/v1/%ff', 400, 'bad_url'],
  ])('%s %s is a %i', async (method, path, status, code) => {
    const { url } = await serving();
    const response = await fetch(url + path, { method });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', code } });
    expect(response.headers.get('allow')).toBe(status === 405 ? (path.includes('models') ? 'GET' : 'POST') : null);
  });

  test('models', async () => {
    const { get } = await serving();
    const model = {
      id: 'fake',
      object: 'model',
      created: expect.any(Number),
      owned_by: 'rtc',
      max_model_len: 64,
      loops: 3,
    };
    expect((await get('/v1/models')).json).toEqual({ object: 'list', data: [model] });
    expect((await get('/v1/models/fake')).json).toEqual(model);
  });
});

test('only JSON is read, so that no web page can ask without being let', async () => {
  const { post } = await serving();
  for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
    const { status, json } = await post(completions, { prompt: 'a' }, { headers: { 'content-type': type } });
    expect({ status, code: json.error.code }).toEqual({ status: 415, code: 'not_json' });
  }
});

describe('an engine that fails', () => {
  const oneFailed: Diagnostic = { severity: 'error', code: 'onnxruntime-failed', message: 'One failed.' };
  const broken = { status: 503, code: 'runtime_failed', message: 'The fake failed.' };
  const shown = ({ status, json }: Awaited<ReturnType<Serving['post']>>) => ({
    status,
    code: json.error.code,
    message: json.error.message,
  });

  test('fails what runs and what comes, and health', async () => {
    const { post, get, engine, failures, ended } = await serving({ pace: 10 });
    const running = post(completions, { prompt: 'a', max_tokens: 50 });
    await eventually(() => engine.live() === 1);
    expect((await get('/health')).json).toEqual({ status: 'ok' });
    engine.fail();
    expect(shown(await running)).toEqual(broken);
    expect(shown(await post(completions, { prompt: 'a' }))).toEqual(broken);
    const health = await get('/health');
    expect(health).toMatchObject({ status: 503, json: { status: 'failed' } });
    expect((await get('/metrics')).status).toBe(503);
    expect(failures).toHaveLength(2);
    expect(ended.map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
  });

  test('ends a stream with an error, and without [DONE]', async () => {
    const { engine, events } = await serving({ pace: 10 });
    const running = events(completions, { prompt: ['a', 'b'], max_tokens: 50 });
    await eventually(() => engine.live() === 2);
    setTimeout(engine.fail, 25);
    const all = await running;
    expect(all.at(-1)).toMatchObject({ error: { message: broken.message, type: 'server_error', code: broken.code } });
  });

  test('on one of several texts takes the others along', async () => {
    const { engine, post, failures } = await serving({ pace: 60_000 });
    const { submit } = engine;
    const failing: typeof submit = (request) => {
      const running = submit(request);
      if (!running.ok || Reflect.get(request.sampling!, 'seed') !== 2) return running;
      const fail = async () => Promise.reject(new RuntimeFailure(oneFailed));
      return { ...running, value: { ...running.value, [Symbol.asyncIterator]: () => ({ next: fail }) } };
    };
    Object.assign(engine, { submit: failing });
    const { status, json } = await post(completions, { prompt: 'a', n: 4, seed: 0 });
    expect({ status, message: json.error.message }).toEqual({ status: 503, message: oneFailed.message });
    expect(failures).toHaveLength(1);
    expect(engine.live()).toBe(0);
  });

  test('that throws is a bug of ours: no stack for the client, the error for the log', async () => {
    const { engine, post, failures } = await serving();
    Object.assign(engine, {
      submit: () => {
        throw new Error('three is not four');
      },
    });
    const { status, text } = await post(completions, { prompt: 'a' });
    expect(status).toBe(500);
    expect(text).not.toContain('three is not four');
    expect(failures).toEqual([new Error('three is not four')]);
  });
});

import { describe, expect, test } from 'vitest';
import { serving } from './serving.ts';

describe('POST /v1/completions', () => {
  test('answers as OpenAI does, with the loops beside it', async () => {
    const { post } = await serving();
    const { status, headers, json } = await post('/v1/completions', { model: 'fake', prompt: '>>', max_tokens: 4 });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(json).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
      object: 'text_completion',
      created: expect.any(Number),
      model: 'fake',
      system_fingerprint: null,
      choices: [{ text: 'abcd', index: 0, logprobs: null, finish_reason: 'length', mean_loops: 9 / 4 }],
      usage: { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 },
    });
    expect(Math.abs(json.created - Date.now() / 1000)).toBeLessThan(60);
  });

  test('nothing but a prompt is needed: 16 tokens, drawn, another seed each time', async () => {
    const { engine, post } = await serving();
    const answers = await Promise.all([
      post('/v1/completions', { prompt: 'a' }),
      post('/v1/completions', { prompt: 'a' }),
    ]);
    expect(answers.map(({ json }) => json.usage.completion_tokens)).toEqual([16, 16]);
    const [first, second] = engine.submitted.map(({ sampling }) => sampling);
    expect(first).toEqual({ kind: 'sample', temperature: 1, topP: 1, seed: expect.any(Number) });
    expect(second).not.toEqual(first);
  });

  test.each<[object, object]>([
    [{ temperature: 0 }, { sampling: { kind: 'greedy' } }],
    [{ top_p: 0 }, { sampling: { kind: 'greedy' } }],
    [
      { temperature: 0.5, top_p: 0.9, top_k: 3, seed: 7 },
      { sampling: { kind: 'sample', temperature: 0.5, topP: 0.9, topK: 3, seed: 7 } },
    ],
    [{ exit_threshold: 0.7 }, { exit: { kind: 'threshold', threshold: 0.7 } }],
    [{ mean_loops: 1.5 }, { exit: { kind: 'budget', meanLoops: 1.5 } }],
    [{ exit_at: 2 }, { exit: { kind: 'fixed', loop: 2 } }],
    [{ ignore_eos: true }, { ignoreEos: true }],
    [{ ignore_eos: null, top_k: null, exit_at: null }, { ignoreEos: false }],
    [{ max_tokens: 9 }, { maxNewTokens: 9 }],
    [{ user: 'me', best_of: 1, logprobs: null, suffix: null, logit_bias: {}, presence_penalty: 0 }, {}],
  ])('%j becomes %j', async (body, request) => {
    const { engine, post } = await serving();
    const { status } = await post('/v1/completions', { prompt: 'a', ...body });
    expect(status).toBe(200);
    expect(engine.submitted).toEqual([expect.objectContaining({ prompt: [97], ...request })]);
    expect(engine.submitted[0]!.exit).toEqual(Reflect.get(request, 'exit'));
  });

  test('a server may have an exit rule of its own for requests without one', async () => {
    const { engine, post } = await serving({}, { exit: { kind: 'threshold', threshold: 0.5 } });
    await post('/v1/completions', { prompt: 'a' });
    await post('/v1/completions', { prompt: 'a', exit_at: 1 });
    expect(engine.submitted.map(({ exit }) => exit)).toEqual([
      { kind: 'threshold', threshold: 0.5 },
      { kind: 'fixed', loop: 1 },
    ]);
  });

  test.each<[string, unknown, readonly (readonly number[])[]]>([
    ['text', 'ab', [[97, 98]]],
    ['texts', ['a', 'b'], [[97], [98]]],
    ['token ids', [97, 98], [[97, 98]]],
    ['lists of token ids', [[97], [98, 99]], [[97], [98, 99]]],
  ])('a prompt may be %s', async (_, prompt, submitted) => {
    const { engine, post } = await serving({ text: (before) => `${before}!` });
    const { json } = await post('/v1/completions', { prompt, max_tokens: 2 });
    expect(engine.submitted.map((request) => request.prompt)).toEqual(submitted);
    expect(json.choices.map(({ index }: { index: number }) => index)).toEqual(submitted.map((_, i) => i));
    expect(json.usage.prompt_tokens).toBe(submitted.flat().length);
  });

  test('n texts of each prompt, each with a seed of its own', async () => {
    const { engine, post } = await serving({
      text: (prompt, { sampling }) => `${prompt}${Reflect.get(sampling!, 'seed')}`,
    });
    const { json } = await post('/v1/completions', { prompt: ['a', 'b'], n: 2, seed: 5, max_tokens: 9 });
    expect(json.choices.map(({ text }: { text: string }) => text)).toEqual(['a5', 'a6', 'b7', 'b8']);
    // A prompt counts once, and the end token is a token.
    expect(json.usage).toEqual({ prompt_tokens: 2, completion_tokens: 12, total_tokens: 14 });
    expect(engine.live()).toBe(0);
  });

  test('echo puts the prompt in front, also without new text', async () => {
    const { post, engine } = await serving();
    const texts = await Promise.all(
      [
        { prompt: 'xy', max_tokens: 2 },
        { prompt: [120, 121], max_tokens: 2 },
        { prompt: 'xy', max_tokens: 0 },
      ].map(async (body) => (await post('/v1/completions', { ...body, echo: true })).json.choices[0]),
    );
    expect(texts.map(({ text }) => text)).toEqual(['xyab', 'xyab', 'xy']);
    expect(texts[2]).toMatchObject({ finish_reason: 'length', mean_loops: null });
    expect(engine.submitted).toHaveLength(2);
  });

  test('the end of a sequence is a stop', async () => {
    const { post } = await serving({ text: () => 'ab' });
    const { json } = await post('/v1/completions', { prompt: 'x', max_tokens: 9 });
    expect(json.choices[0]).toMatchObject({ text: 'ab', finish_reason: 'stop' });
    expect(json.usage.completion_tokens).toBe(3);
  });

  test('a stop string ends the text in front of it and frees the sequence', async () => {
    const { post, engine } = await serving();
    const { json } = await post('/v1/completions', { prompt: 'cde', max_tokens: 60, stop: ['zz', 'cde'], echo: true });
    // The prompt is not looked through.
    expect(json.choices[0]).toMatchObject({ text: 'cdeab', finish_reason: 'stop' });
    expect(json.usage.completion_tokens).toBe(5);
    expect({ live: engine.live(), cancelled: engine.cancelled() }).toEqual({ live: 0, cancelled: 1 });
  });

  test('return_token_ids puts tokens and loops into the answer', async () => {
    const { post } = await serving();
    const { json } = await post('/v1/completions', { prompt: 'x', max_tokens: 4, return_token_ids: true });
    expect(json.choices[0]).toMatchObject({ token_ids: [97, 98, 99, 100], exits: [3, 2, 1, 3] });
  });

  test('without a tokenizer tokens go in and out', async () => {
    const { post } = await serving({ tokenizer: false });
    const { json } = await post('/v1/completions', { prompt: [120], max_tokens: 3 });
    expect(json.choices[0]).toMatchObject({
      text: '',
      token_ids: [97, 98, 99],
      exits: [3, 2, 1],
      finish_reason: 'length',
    });
    const refused = await post('/v1/completions', { prompt: 'x', echo: true });
    expect(refused.status).toBe(400);
    expect(refused.json.error).toMatchObject({ param: 'prompt', code: 'no_tokenizer' });
    expect(refused.json.error.problems).toHaveLength(2);
    expect((await post('/v1/completions', { prompt: [1], stop: 'x' })).json.error.param).toBe('stop');
  });
});

describe('streaming', () => {
  test('pieces, the reason at the end, then [DONE]', async () => {
    const { events } = await serving();
    const all = await events('/v1/completions', { prompt: 'x', max_tokens: 3 });
    expect(all.at(-1)).toBe('[DONE]');
    // biome-ignore lint/suspicious/noExplicitAny: documents
    const chunks = all.slice(0, -1) as any[];
    expect(chunks[0]).toEqual({
      id: expect.stringMatching(/^cmpl-/),
      object: 'text_completion',
      created: expect.any(Number),
      model: 'fake',
      system_fingerprint: null,
      choices: [{ text: 'a', index: 0, logprobs: null, finish_reason: null }],
    });
    expect(chunks.map(({ choices: [choice] }) => [choice.text, choice.finish_reason])).toEqual([
      ['a', null],
      ['b', null],
      ['c', 'length'],
    ]);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks[2].choices[0].mean_loops).toBe(2);
  });

  test('usage when it is asked for', async () => {
    const { events } = await serving();
    const all = await events('/v1/completions', {
      prompt: 'x',
      max_tokens: 2,
      stream_options: { include_usage: true },
    });
    expect(all.slice(0, -2)).toEqual([
      expect.objectContaining({ usage: null }),
      expect.objectContaining({ usage: null }),
    ]);
    expect(all.at(-2)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
    });
  });

  test('what may begin a stop string is held back, and never shown when it was one', async () => {
    const { events, engine } = await serving({ text: () => 'one enough\nEND two' });
    const all = await events('/v1/completions', { prompt: 'x', max_tokens: 50, stop: 'END' });
    // biome-ignore lint/suspicious/noExplicitAny: documents
    const texts = (all.slice(0, -1) as any[]).map(({ choices: [choice] }) => choice.text);
    expect(texts.join('')).toBe('one enough\n');
    expect(texts.filter((text) => text.includes('E'))).toEqual([]);
    expect(engine.live()).toBe(0);
  });

  test('several texts come side by side under their numbers', async () => {
    const { events } = await serving({ text: (prompt) => prompt.repeat(5) });
    const all = await events('/v1/completions', { prompt: ['a', 'b'], max_tokens: 4, echo: true });
    const texts = ['', ''];
    // biome-ignore lint/suspicious/noExplicitAny: documents
    for (const { choices } of all.slice(0, -1) as any[]) texts[choices[0].index] += choices[0].text;
    expect(texts).toEqual(['aaaaa', 'bbbbb']);
    // biome-ignore lint/suspicious/noExplicitAny: documents
    const order = (all.slice(0, -1) as any[]).map(({ choices }) => choices[0].index);
    expect(order.slice(0, 4)).toEqual([0, 1, 0, 1]);
  });

  test('a request that makes no sense gets its status, not a stream', async () => {
    const { post } = await serving();
    const { status, json } = await post('/v1/completions', { prompt: [9_999_999], stream: true });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ message: 'There is no such token. Look again.', code: 'unknown_token' });
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ChatTemplate, loadChatTemplate } from '../../serve/chat-template.ts';
import { serving } from './serving.ts';

const path = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'hi' }];

/** `user: hi|assistant: ` */
const template: ChatTemplate = (all) => ({
  ok: true,
  text: `${all.map(({ role, content }) => `${role}: ${content}|`).join('')}assistant: `,
});

describe('POST /v1/chat/completions', () => {
  test('answers as OpenAI does', async () => {
    const { post, engine } = await serving({}, { chatTemplate: template });
    const { status, json } = await post(path, { model: 'fake', messages, max_completion_tokens: 3 });
    expect(status).toBe(200);
    expect(json).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'fake',
      system_fingerprint: null,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'abc', refusal: null },
          logprobs: null,
          finish_reason: 'length',
          mean_loops: 2,
        },
      ],
      usage: { prompt_tokens: 20, completion_tokens: 3, total_tokens: 23 },
    });
    expect(String.fromCodePoint(...engine.submitted[0]!.prompt)).toBe('user: hi|assistant: ');
  });

  test('the template has written the special tokens, so the tokenizer adds none', async () => {
    const { post, engine } = await serving({}, { chatTemplate: template });
    const { tokenizer } = engine;
    const encode = (text: string, around?: 'none') => (around === 'none' ? tokenizer!.encode(text) : [1]);
    Object.assign(engine, { tokenizer: { ...tokenizer, encode } });
    expect((await post(path, { messages, max_tokens: 1 })).json.usage.prompt_tokens).toBe(20);
  });

  test('without a number of tokens it fills the room that there is', async () => {
    const { post } = await serving({}, { chatTemplate: template });
    const { json } = await post(path, { messages });
    expect(json.usage).toEqual({ prompt_tokens: 20, completion_tokens: 45, total_tokens: 65 });
  });

  test.each([
    ['a developer is what templates know as system', [{ role: 'developer', content: 'be' }], 'system: be|assistant: '],
    [
      'texts in parts are joined',
      [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
      'user: ab|assistant: ',
    ],
    ['no content is empty', [{ role: 'assistant', content: null }], 'assistant: |assistant: '],
  ])('%s', async (_, given, prompt) => {
    const { post, engine } = await serving({}, { chatTemplate: template });
    expect((await post(path, { messages: given, max_tokens: 1 })).status).toBe(200);
    expect(String.fromCodePoint(...engine.submitted[0]!.prompt)).toBe(prompt);
  });

  test('streams a role, pieces, and the reason in an event of its own', async () => {
    const { events } = await serving({}, { chatTemplate: template });
    const all = await events(path, { messages, max_tokens: 2, stream_options: { include_usage: true }, n: 2 });
    // biome-ignore lint/suspicious/noExplicitAny: documents
    const chunks = all.slice(0, -1) as any[];
    expect(chunks.every(({ object }) => object === 'chat.completion.chunk')).toBe(true);
    const first = chunks.filter(({ choices: [choice] }) => choice?.index === 1).map(({ choices }) => choices[0]);
    expect(first.map(({ delta, finish_reason: reason }) => [delta, reason])).toEqual([
      [{ role: 'assistant', content: '', refusal: null }, null],
      [{ content: 'a' }, null],
      [{ content: 'b' }, null],
      [{}, 'length'],
    ]);
    expect(first.at(-1).mean_loops).toBe(2.5);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 24 } });
    expect(all.at(-1)).toBe('[DONE]');
  });

  test('is refused clearly for a model that cannot chat', async () => {
    for (const tokenizer of [true, false]) {
      const { post } = await serving({ tokenizer });
      const { status, json } = await post(path, { messages });
      expect(status).toBe(400);
      expect(json.error.code).toBe('no_chat_template');
      expect(json.error.message).toContain(tokenizer ? 'no chat template' : 'no tokenizer');
    }
  });

  test.each<[object, string, string]>([
    [{}, 'messages', 'You must provide a "messages" parameter.'],
    [{ messages: [] }, 'messages', 'expected a list of at least 1'],
    [{ messages: [{ role: 'robot', content: '' }] }, 'messages[0].role', 'expected one of "system", "developer"'],
    [{ messages: [{ role: 'user', content: 5 }] }, 'messages[0].content', 'Invalid type for "messages[0].content"'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      'messages[0].content[0].type',
      'expected one of "text"',
    ],
    [{ messages, tools: [{}] }, 'tools', 'tools are not supported'],
    [{ messages, response_format: { type: 'json_object' } }, 'response_format', 'answers are text'],
    [{ messages, prompt: 'x' }, 'prompt', 'Unrecognized request argument supplied: prompt.'],
    [{ messages, max_tokens: 900 }, 'messages', 'ask for at most 45'],
  ])('%j is refused', async (body, param, message) => {
    const { post } = await serving({}, { chatTemplate: template });
    const { status, json } = await post(path, body);
    expect(status).toBe(400);
    expect(json.error.param).toBe(param);
    expect(json.error.message).toContain(message);
  });

  test.each([
    { tools: [], response_format: { type: 'text' }, logprobs: false, tool_choice: 'none', top_logprobs: null },
    { store: true, metadata: { a: 'b' }, service_tier: 'auto' },
  ])('%j changes nothing', async (body) => {
    const { post } = await serving({}, { chatTemplate: template });
    expect((await post(path, { messages, max_tokens: 1, ...body })).status).toBe(200);
  });

  test('what the template refuses is the fault of the messages', async () => {
    const { post } = await serving({}, { chatTemplate: () => ({ ok: false, why: 'users come first' }) });
    const { status, json } = await post(path, { messages });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ param: 'messages', message: expect.stringContaining('users come first') });
  });
});

describe('the chat template of a package', () => {
  let scratch: string;
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'rtc-chat-'));
  });
  afterAll(() => rm(scratch, { recursive: true }));

  const load = async (files: Readonly<Record<string, unknown>>) => {
    const folder = await mkdtemp(join(scratch, 'package-'));
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
    }
    return loadChatTemplate(folder);
  };
  const source =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}" +
    '<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}';
  const tokens = { bos_token: '<s>', eos_token: { content: '</s>' } };

  test.each<[string, Readonly<Record<string, unknown>>]>([
    ['tokenizer_config.json', { 'tokenizer_config.json': { ...tokens, chat_template: source } }],
    [
      'one of several',
      {
        'tokenizer_config.json': {
          ...tokens,
          chat_template: [
            { name: 'tool_use', template: 'x' },
            { name: 'default', template: source },
          ],
        },
      },
    ],
    [
      'chat_template.jinja, which goes first',
      { 'tokenizer_config.json': { ...tokens, chat_template: 'x' }, 'chat_template.jinja': source },
    ],
    ['chat_template.json', { 'tokenizer_config.json': tokens, 'chat_template.json': { chat_template: source } }],
  ])('is read from %s', async (_, files) => {
    const loaded = await load(files);
    if (!loaded.ok) throw new Error('not loaded');
    expect(loaded.value!([{ role: 'user', content: 'hi' }])).toEqual({
      ok: true,
      text: '<s><user>hi</s><assistant>',
    });
    expect(loaded.value!([{ role: 'system', content: 'hi' }])).toEqual({
      ok: false,
      why: expect.stringContaining('no system'),
    });
  });

  test('a model may have none', async () => {
    for (const files of [{}, { 'tokenizer_config.json': tokens }]) {
      expect(await load(files)).toEqual({ ok: true, value: undefined, diagnostics: [] });
    }
  });

  test.each([
    ['invalid-chat-template', { 'chat_template.jinja': '{% for %}' }],
    ['invalid-json', { 'tokenizer_config.json': '{' }],
  ])('%s', async (code, files) => {
    expect(await load(files)).toMatchObject({ ok: false, diagnostics: [{ code }] });
  });
});

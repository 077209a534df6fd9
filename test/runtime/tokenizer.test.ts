import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadTokenizer, type TextTokenizer } from '../../runtime/tokenizer.ts';

const model = fileURLToPath(new URL('../models/kjv-relaxed/', import.meta.url));
let scratch: string;
let tokenizer: TextTokenizer;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-tokenizer-'));
  tokenizer = await load(model);
});
afterAll(() => rm(scratch, { recursive: true }));

async function load(folder: string): Promise<TextTokenizer> {
  const loaded = await loadTokenizer(folder);
  if (!loaded.ok || !loaded.value) throw new Error('no tokenizer');
  return loaded.value;
}

test('a text comes back from its tokens', () => {
  const text = 'In the beginning God created the heaven and the earth.';
  expect(tokenizer.encode(text).length).toBeLessThan(text.length / 2);
  expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
});

test('special tokens and unknown ids give no text', () => {
  expect(tokenizer.decode([0, ...tokenizer.encode('Lord'), 0, 99_999])).toBe('Lord');
  expect(tokenizer.decode([99_999])).toBe('');
});

test('special tokens around a prompt can be left out', async () => {
  const folder = await mkdtemp(join(scratch, 'around-'));
  const vocabulary = JSON.parse(await readFile(join(model, 'tokenizer.json'), 'utf8')) as object;
  const end = { SpecialToken: { id: '<|end|>', type_id: 0 } };
  const post_processor = {
    type: 'TemplateProcessing',
    single: [end, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<|end|>': { id: '<|end|>', ids: [0], tokens: ['<|end|>'] } },
  };
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify({ ...vocabulary, post_processor }));
  const marked = await load(folder);
  const bare = tokenizer.encode('Lord');
  expect(marked.encode('Lord')).toEqual([0, ...bare]);
  expect(marked.encode('Lord', 'none')).toEqual(bare);
  // A template writes them itself.
  expect(marked.encode('<|end|>Lord', 'none')).toEqual([0, ...bare]);
});

describe('stream', () => {
  const collect = (tokens: readonly number[], context: readonly number[] = []) => {
    const stream = tokenizer.stream(context);
    return [...tokens.map((token) => stream.push(token)), stream.end()];
  };

  test('characters of several tokens appear when they are whole', () => {
    // No token of this vocabulary holds more than one byte of these.
    const tokens = tokenizer.encode('α😀');
    expect(tokens).toHaveLength(6);
    expect(collect(tokens)).toEqual(['', 'α', '', '', '', '😀', '']);
  });

  test('no space is taken back once it is printed', () => {
    const text = "it is . He said , do n't";
    expect(collect(tokenizer.encode(text)).join('')).toBe(text);
  });

  test('joined, the pieces are the decoded whole, whatever the text and wherever it is cut', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (before, after) => {
        const context = tokenizer.encode(before);
        const tokens = tokenizer.encode(after);
        const pieces = collect(tokens, context);
        for (const piece of pieces.slice(0, -1)) expect(piece.endsWith('\uFFFD')).toBe(false);
        expect(pieces.join('')).toBe(after);
      }),
    );
  });

  test('bytes that make no character show at the end, and do not hide what follows them', () => {
    const [first] = tokenizer.encode('α');
    expect(collect([first!])).toEqual(['', '\uFFFD']);
    expect(collect([first!, ...tokenizer.encode('and')]).join('')).toBe('\uFFFDand');
  });

  test('a space that belongs to a token is kept behind a context, and dropped at the start of a text', async () => {
    const words = { '<unk>': 0, '▁In': 1, '▁the': 2, '<0xE2>': 3, '<0x82>': 4, '<0xAC>': 5 };
    await writeFile(
      join(scratch, 'tokenizer.json'),
      JSON.stringify({
        added_tokens: [{ id: 0, content: '<unk>', special: true, normalized: false }],
        normalizer: null,
        pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
        post_processor: null,
        decoder: {
          type: 'Sequence',
          decoders: [
            { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
            { type: 'ByteFallback' },
            { type: 'Fuse' },
            { type: 'Strip', content: ' ', start: 1, stop: 0 },
          ],
        },
        model: { type: 'BPE', vocab: words, merges: [], unk_token: '<unk>', byte_fallback: true, fuse_unk: true },
      }),
    );
    const llama = await load(scratch);
    const pieces = (context: readonly number[]) => {
      const stream = llama.stream(context);
      return [2, 1, 3, 4, 5, 2].map((token) => stream.push(token)).concat(stream.end());
    };
    expect(pieces([1])).toEqual([' the', ' In', '', '', '€', ' the', '']);
    expect(pieces([])).toEqual(['the', ' In', '', '', '€', ' the', '']);
  });
});

describe('loading', () => {
  test('without tokenizer.json there is none', async () => {
    expect(await loadTokenizer(join(model, '..', 'llama-relaxed'))).toEqual({
      ok: true,
      value: undefined,
      diagnostics: [],
    });
  });

  test.each([
    ['{"version": "1.0"}', 'unsupported-tokenizer'],
    ['{"model": ', 'invalid-json'],
    ['[]', 'invalid-json'],
    [
      '{"model":{"type":"New"},"decoder":null,"post_processor":null,"pre_tokenizer":null,"normalizer":null}',
      'unsupported-tokenizer',
    ],
  ])('%s is refused', async (text, code) => {
    await writeFile(join(scratch, 'tokenizer.json'), text);
    const loaded = await loadTokenizer(scratch);
    expect(loaded.ok).toBe(false);
    expect(loaded.diagnostics.map((d) => d.code)).toEqual([code]);
  });

  test('a broken tokenizer_config.json is named', async () => {
    await copyFile(join(model, 'tokenizer.json'), join(scratch, 'tokenizer.json'));
    await writeFile(join(scratch, 'tokenizer_config.json'), 'no');
    const loaded = await loadTokenizer(scratch);
    expect(loaded.diagnostics[0]?.location?.file).toBe(join(scratch, 'tokenizer_config.json'));
    await rm(join(scratch, 'tokenizer_config.json'));
  });

  test('text that the vocabulary has nothing for gives no ids, not holes', async () => {
    const vocabulary = JSON.parse(await readFile(join(model, 'tokenizer.json'), 'utf8'));
    delete vocabulary.model.vocab.z;
    const rest = tokenizer.encode('ea');
    for (const unknown of [null, '<nowhere>']) {
      vocabulary.model.unk_token = unknown;
      await writeFile(join(scratch, 'tokenizer.json'), JSON.stringify(vocabulary));
      expect((await load(scratch)).encode('zea')).toEqual(rest);
    }
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readPrompts } from '../../measure/read-prompts.ts';
import type { TextTokenizer } from '../../runtime/tokenizer.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-prompts-'));
});
afterAll(() => rm(scratch, { recursive: true }));

/** A token a letter. */
const letters: TextTokenizer = {
  encode: (text) => [...text].map((letter) => letter.charCodeAt(0)),
  decode: () => '',
  stream: () => ({ push: () => '', end: () => '' }),
};

async function read(name: string, text: string, tokenizer?: TextTokenizer) {
  const file = join(scratch, name);
  await writeFile(file, text);
  const result = await readPrompts(file, tokenizer);
  return result.ok ? result.value : result.diagnostics[0]!.code;
}

test('a line is a prompt, empty ones are none', async () => {
  expect(await read('a.txt', 'ab\r\n\n  \nc\n', letters)).toEqual([[97, 98], [99]]);
});

test('a list has texts and token ids', async () => {
  expect(await read('a.json', '["ab", [5, 6]]', letters)).toEqual([
    [97, 98],
    [5, 6],
  ]);
  expect(await read('ids.json', '[[5, 6], [7]]')).toEqual([[5, 6], [7]]);
});

test('what is wrong with a file is said', async () => {
  expect(await read('text.txt', 'ab')).toBe('no-tokenizer');
  expect(await read('none.txt', '\n\n', letters)).toBe('no-prompt');
  expect(await read('broken.json', '[[1, ]', letters)).toBe('invalid-json');
  expect(await read('empty.json', '[[]]', letters)).toMatch(/-/);
  expect(await read('silent.txt', 'ab', { ...letters, encode: () => [] })).toBe('empty-prompt');
  const missing = await readPrompts(join(scratch, 'no-such.txt'), letters);
  expect(missing.ok ? 'read' : missing.diagnostics[0]!.code).toBe('missing-file');
});

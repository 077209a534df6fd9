import { mkdtemp, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { contentHashes } from '../../../compiler/tensorrt/weights/content-hashes.ts';
import { hashOf } from '../plan-cache/example-parts.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-hashes-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const later = () => Date.now() + 60_000;
let memo: string;
let file: string;
let count = 0;
beforeEach(async () => {
  count += 1;
  memo = join(scratch, `memo-${count}.json`);
  file = join(scratch, `file-${count}`);
  await writeFile(file, 'weights');
});

/** Makes what the memo says of every file wrong, so that it shows whether it is believed. */
async function plantInMemo(sha256: string): Promise<void> {
  const said = JSON.parse(await readFile(memo, 'utf8'));
  for (const identity of Object.keys(said.hashes)) said.hashes[identity] = sha256;
  await writeFile(memo, JSON.stringify(said));
}

async function remember(): Promise<void> {
  const hashes = contentHashes(memo, later);
  expect(await hashes.hash(file)).toBe(hashOf('weights'));
  await hashes.save();
}

const planted = hashOf('what only the memo says');

describe('a memo', () => {
  test('saves reading a file again', async () => {
    await remember();
    await plantInMemo(planted);
    expect(await contentHashes(memo, later).hash(file)).toBe(planted);
  });

  test('is not believed after an edit that keeps the size and sets the time back', async () => {
    // Whole seconds, so that the time is the same to the nanosecond.
    await utimes(file, 1000, 1000);
    await remember();
    await plantInMemo(planted);
    await writeFile(file, 'wEights');
    await utimes(file, 1000, 1000);
    expect((await stat(file, { bigint: true })).mtimeNs).toBe(1_000_000_000_000n);
    expect(await contentHashes(memo, later).hash(file)).toBe(hashOf('wEights'));
  });

  test('is not believed of a file that was put in place of the other', async () => {
    await utimes(file, 1000, 1000);
    await remember();
    await plantInMemo(planted);
    await writeFile(`${file}.new`, 'wEights');
    await utimes(`${file}.new`, 1000, 1000);
    await rename(`${file}.new`, file);
    expect(await contentHashes(memo, later).hash(file)).toBe(hashOf('wEights'));
  });

  test('says nothing of a file that changed a moment ago, since the next change may leave the times as they are', async () => {
    const hashes = contentHashes(memo);
    await hashes.hash(file);
    await hashes.save();
    await expect(readFile(memo)).rejects.toThrow('ENOENT');
  });

  test.each([
    '',
    '{',
    '[]',
    '{"format":1,"hashes":{"1:2":"no hash"}}',
  ])('that is damaged (%j) is no memo', async (text) => {
    await writeFile(memo, text);
    await remember();
    expect(JSON.parse(await readFile(memo, 'utf8')).format).toBe(1);
  });

  test('is not written of a file that was linked a moment ago, and an edit ends it in the build that is running', async () => {
    const soon = contentHashes(memo, () => Date.now() + 1000);
    await soon.hash(file);
    await soon.save();
    await expect(readFile(memo)).rejects.toThrow('ENOENT');
    const { atime, mtime } = await stat(file);
    await writeFile(file, 'wEights');
    await utimes(file, atime, mtime);
    expect(await soon.hash(file)).toBe(hashOf('wEights'));
  });

  test('keeps what others have learned meanwhile', async () => {
    const [one, two] = [contentHashes(memo, later), contentHashes(memo, later)];
    const other = `${file}.other`;
    await writeFile(other, 'x');
    await one.hash(file);
    await two.hash(other);
    await one.save();
    await two.save();
    expect(Object.values(JSON.parse(await readFile(memo, 'utf8')).hashes).sort()).toEqual(
      [hashOf('weights'), hashOf('x')].sort(),
    );
  });
});

describe('unchanged', () => {
  test('holds while contents do, even where only times differ', async () => {
    const hashes = contentHashes();
    await hashes.hash(file);
    expect(await hashes.unchanged()).toBe(true);
    await utimes(file, 1, 1);
    expect(await hashes.unchanged()).toBe(true);
  });

  test.each([
    ['an edit', () => writeFile(file, 'wEights')],
    ['a file that is gone', () => rm(file)],
  ])('ends with %s', async (_, change) => {
    const hashes = contentHashes();
    await hashes.hash(file);
    await change();
    expect(await hashes.unchanged()).toBe(false);
  });
});

test('files larger than a piece are hashed as a whole; an abort rejects with its reason', async () => {
  const bytes = Buffer.alloc(3 * 2 ** 20 + 5, 7);
  await writeFile(file, bytes);
  expect(await contentHashes().hash(file)).toBe(hashOf(bytes));
  const reason = new Error('enough');
  await expect(contentHashes().hash(file, AbortSignal.abort(reason))).rejects.toBe(reason);
});

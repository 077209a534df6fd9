import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { listCache } from '../../../compiler/tensorrt/plan-cache/list-cache.ts';
import { planCache } from '../../../compiler/tensorrt/plan-cache/plan-cache.ts';
import { planKey } from '../../../compiler/tensorrt/plan-cache/plan-parts.ts';
import { pruneCache } from '../../../compiler/tensorrt/plan-cache/prune-cache.ts';
import { exampleEngine, exampleParts } from './example-parts.ts';

let scratch: string;
let dir: string;
let count = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-prune-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const parts = ['1', '2', '3'].map((driver) => exampleParts({ driver }));
const keys = parts.map(planKey);
const stampOf = (i: number) => join(dir, 'plans', keys[i]!, 'stamp.json');

/** Three engines of 5000 bytes, used in the order in which they are here, and what else a cache has. */
beforeEach(async () => {
  count += 1;
  dir = join(scratch, String(count));
  await mkdir(join(dir, 'timing'), { recursive: true });
  for (const [i, each] of parts.entries()) {
    expect(await planCache(dir).store(each, await exampleEngine(scratch, each))).toEqual([]);
    await utimes(stampOf(i), 1000 + i, 1000 + i);
  }
  await writeFile(join(dir, 'timing/GPU-sm90-trt10.16.0.cache'), '12345');
  await writeFile(join(dir, 'hashes.json'), '{}');
  await writeFile(join(dir, 'of-the-user.txt'), 'mine');
  await mkdir(join(dir, 'plans/of-the-user'));
  await utimes(join(dir, 'plans/of-the-user'), 1000, 1000);
});

const left = async () => (await readdir(join(dir, 'plans'))).filter((name) => name !== 'of-the-user').sort();

test('a list has engines, timing caches and what they take', async () => {
  const listed = await listCache(dir);
  expect(listed).toMatchObject({
    ok: true,
    diagnostics: [],
    value: { timingCaches: [{ file: 'GPU-sm90-trt10.16.0.cache', bytes: 5 }], damaged: [], bytes: 15_005 },
  });
  if (listed.ok) expect(listed.value.engines.map(({ key }) => key).sort()).toEqual([...keys].sort());
});

test('those go first that were not used for the longest time', async () => {
  expect(await pruneCache(dir, { keepBytes: 12_000 })).toMatchObject({
    ok: true,
    value: { removed: [{ key: keys[0] }], removedBytes: 5000, keptBytes: 10_000 },
  });
  expect(await left()).toEqual([keys[1], keys[2]].sort());
});

test('being taken counts as being used', async () => {
  const { mtimeMs } = await stat(stampOf(0));
  await planCache(dir).take(parts[0]!, join(dir, 'taken'));
  expect((await stat(stampOf(0))).mtimeMs).toBeGreaterThan(mtimeMs);
  await pruneCache(dir, { keepBytes: 5000 });
  expect(await left()).toEqual([keys[0]]);
});

test('where all have room, none goes', async () => {
  expect(await pruneCache(dir, { keepBytes: 15_000 })).toMatchObject({ value: { removed: [], keptBytes: 15_000 } });
  expect((await left()).length).toBe(3);
});

test('damaged entries go, and what was half-written a day ago; what is being written stays', async () => {
  await writeFile(join(dir, 'plans', keys[0]!, 'stamp.json'), '');
  await writeFile(join(dir, 'plans', keys[1]!, 'plan'), '');
  await planCache(dir).take(parts[1]!, join(dir, 'taken'));
  await mkdir(join(dir, 'plans/.staged-now'));
  await mkdir(join(dir, 'plans/.staged-then'));
  await utimes(join(dir, 'plans/.staged-then'), 1000, 1000);
  expect(await listCache(dir)).toMatchObject({
    diagnostics: [{ code: 'damaged-cache-entry' }],
    value: { damaged: [keys[1]], engines: [{ key: keys[2] }] },
  });
  await pruneCache(dir, { keepBytes: 1_000_000 });
  expect(await left()).toEqual(['.staged-now', keys[2]]);
  expect(await readdir(join(dir, 'damaged'))).toEqual([]);
});

test('everything is everything that a cache writes, and nothing else', async () => {
  expect(await pruneCache(dir, { everything: true })).toMatchObject({ value: { removedBytes: 15_000, keptBytes: 0 } });
  const files = (await readdir(dir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  expect(files.map(({ name }) => name)).toEqual(['of-the-user.txt']);
  expect(await readdir(join(dir, 'plans'))).toEqual(['of-the-user']);
});

test.each(['nothing', 'of-the-user.txt'])('a folder that is not there is refused (%s)', async (name) => {
  for (const result of [await listCache(join(dir, name)), await pruneCache(join(dir, name), { everything: true })]) {
    expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'missing-file' }] });
  }
});

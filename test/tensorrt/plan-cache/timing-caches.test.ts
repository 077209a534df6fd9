import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  keepTimingCache,
  offerTimingCache,
  timingCacheName,
} from '../../../compiler/tensorrt/plan-cache/timing-caches.ts';
import { hashOf } from './example-parts.ts';

const timedOn = { gpu: 'NVIDIA H100 80GB HBM3', computeCapability: '9.0', tensorrt: '10.16.0' };

let scratch: string;
let dir: string;
let file: string;
let count = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-timing-'));
});
afterAll(() => rm(scratch, { recursive: true }));
beforeEach(() => {
  count += 1;
  dir = join(scratch, `cache-${count}`);
  file = join(scratch, `timing-${count}.cache`);
});

/** What trtexec does: it merges old and new into the file. */
async function build(measured: string): Promise<readonly unknown[]> {
  const offered = await offerTimingCache(dir, timedOn, file);
  const before = offered === undefined ? '' : await readFile(file, 'utf8');
  await writeFile(file, before + measured);
  return keepTimingCache(dir, timedOn, file, offered);
}

const kept = async () => readFile(join(dir, 'timing', timingCacheName(timedOn)), 'utf8');

test('the name tells GPU, compute capability and version, and is one that any file system takes', () => {
  expect(timingCacheName(timedOn)).toBe('NVIDIA-H100-80GB-HBM3-sm90-trt10.16.0.cache');
  expect(timingCacheName({ gpu: '../a/b:c\n', computeCapability: '10.3', tensorrt: '11.1.0' })).toMatch(
    /^[A-Za-z0-9._-]+-sm103-trt11\.1\.0\.cache$/,
  );
});

test('what one build measured, the next one starts from', async () => {
  expect(await build('a')).toEqual([]);
  await rm(file);
  expect(await build('b')).toEqual([]);
  expect(await kept()).toBe('ab');
  expect(await readdir(join(dir, 'timing'))).toEqual([timingCacheName(timedOn)]);
});

test('it is a copy: trtexec writes into it', async () => {
  await build('a');
  expect(await offerTimingCache(dir, timedOn, file)).toBe(hashOf('a'));
  await writeFile(file, 'half of someth');
  expect(await kept()).toBe('a');
  expect((await stat(file)).nlink).toBe(1);
});

test('other GPUs and versions have their own', async () => {
  await build('a');
  expect(await offerTimingCache(dir, { ...timedOn, tensorrt: '10.16.1' }, file)).toBeUndefined();
  expect(await offerTimingCache(dir, { ...timedOn, gpu: 'NVIDIA L4' }, file)).toBeUndefined();
});

test('of two builds at once the larger one stays, and a later build may make it smaller again', async () => {
  await build('a');
  const [one, two] = [`${file}.1`, `${file}.2`];
  const offered = await Promise.all([one, two].map((to) => offerTimingCache(dir, timedOn, to)));
  await writeFile(one, 'a and much');
  await writeFile(two, 'a and b');
  await keepTimingCache(dir, timedOn, one, offered[0]);
  await keepTimingCache(dir, timedOn, two, offered[1]);
  expect(await kept()).toBe('a and much');
  const again = await offerTimingCache(dir, timedOn, one);
  await writeFile(one, 'less');
  await keepTimingCache(dir, timedOn, one, again);
  expect(await kept()).toBe('less');
});

test('a build that left none, or an empty one, changes nothing', async () => {
  await build('a');
  expect(await keepTimingCache(dir, timedOn, join(scratch, 'none'), undefined)).toEqual([]);
  await writeFile(file, '');
  expect(await keepTimingCache(dir, timedOn, file, hashOf('a'))).toEqual([]);
  expect(await kept()).toBe('a');
});

test('a cache that cannot be written is a warning', async () => {
  await writeFile(dir, 'a file');
  await writeFile(file, 'a');
  expect(await keepTimingCache(dir, timedOn, file, undefined)).toMatchObject([{ severity: 'warning' }]);
});

test('an abort rejects with its reason and leaves nothing half-written', async () => {
  await build('a');
  const reason = new Error('enough');
  const to = join(scratch, 'aborted', '..', `to-${count}`);
  await expect(offerTimingCache(dir, timedOn, to, AbortSignal.abort(reason))).rejects.toBe(reason);
  await writeFile(file, 'other');
  await expect(keepTimingCache(dir, timedOn, file, undefined, AbortSignal.abort(reason))).rejects.toBe(reason);
  expect((await readdir(scratch)).filter((name) => name.startsWith(`to-${count}`))).toEqual([]);
  expect(await readdir(join(dir, 'timing'))).toEqual([timingCacheName(timedOn)]);
  expect(await kept()).toBe('a');
});

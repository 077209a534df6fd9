import { randomBytes } from 'node:crypto';
import {
  appendFile,
  cp,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { planCache, unknownGpu } from '../../../compiler/tensorrt/plan-cache/plan-cache.ts';
import { planKey } from '../../../compiler/tensorrt/plan-cache/plan-parts.ts';
import { exampleEngine, exampleParts, hashOf } from './example-parts.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-plan-cache-'));
});
afterAll(() => rm(scratch, { recursive: true }));

let room: string;
let dir: string;
let count = 0;
beforeEach(async () => {
  count += 1;
  room = join(scratch, String(count));
  dir = join(room, 'cache');
  await mkdir(room);
});

const parts = exampleParts();
const key = planKey(parts);
const place = (name: string) => join(room, name);

async function storeExample() {
  const built = await exampleEngine(room, parts);
  expect(await planCache(dir).store(parts, built)).toEqual([]);
  return built;
}

describe('an engine that was stored', () => {
  test('comes back for the same parts, byte for byte, with its stamp, and takes no room of its own', async () => {
    const { plan, stamp } = await storeExample();
    expect(await planCache(dir).take(parts, place('taken.plan'))).toEqual({ stamp, diagnostics: [] });
    expect(hashOf(await readFile(place('taken.plan')))).toBe(stamp.sha256);
    const inodes = await Promise.all([plan, place('taken.plan')].map(async (file) => (await stat(file)).ino));
    expect(inodes[0]).toBe(inodes[1]);
  });

  test('does not come for any other parts', async () => {
    await storeExample();
    const other = exampleParts({ driver: '580.10.3' });
    expect(await planCache(dir).take(other, place('taken.plan'))).toEqual({ stamp: undefined, diagnostics: [] });
    expect(await readdir(room)).not.toContain('taken.plan');
  });

  test('outlives the package that it was built in', async () => {
    const { plan, stamp } = await storeExample();
    await rm(plan);
    expect((await planCache(dir).take(parts, place('taken.plan'))).stamp).toEqual(stamp);
  });

  test('is kept as regular files that say nothing of where they are', async () => {
    await storeExample();
    const names = (await readdir(dir, { recursive: true, withFileTypes: true })).filter(
      (entry) => !entry.isDirectory(),
    );
    expect(names.map(({ name }) => name).sort()).toEqual(['parts.json', 'plan', 'stamp.json']);
    expect(names.every((entry) => entry.isFile())).toBe(true);
    for (const name of ['parts.json', 'stamp.json']) {
      expect(await readFile(join(dir, 'plans', key, name), 'utf8')).not.toContain(scratch);
    }
  });

  test('works where the cache was copied to, as actions/cache does it', async () => {
    const { stamp } = await storeExample();
    await cp(dir, place('restored'), { recursive: true });
    await rm(dir, { recursive: true });
    expect((await planCache(place('restored')).take(parts, place('taken.plan'))).stamp).toEqual(stamp);
  });

  test('stays when another engine comes of the same parts: builds are not the same to the bit', async () => {
    const { stamp } = await storeExample();
    const another = await exampleEngine(room, parts);
    expect(another.stamp.sha256).not.toBe(stamp.sha256);
    expect(await planCache(dir).store(parts, another)).toEqual([]);
    expect((await planCache(dir).take(parts, place('taken.plan'))).stamp).toEqual(stamp);
    expect(await readdir(join(dir, 'plans'))).toEqual([key]);
  });
});

describe('an entry that is damaged is set aside, with a warning, and is none', () => {
  const entry = (name: string) => join(dir, 'plans', key, name);
  const edit = async (name: string, change: (text: string) => string) =>
    writeFile(entry(name), change(await readFile(entry(name), 'utf8')));

  test.each<[string, string, () => Promise<void>]>([
    [
      'one bit of the engine',
      'its bytes are not those that were kept',
      async () => {
        const bytes = await readFile(entry('plan'));
        bytes[4321]! ^= 4;
        await writeFile(entry('plan'), bytes);
      },
    ],
    ['an engine that is cut off', 'its engine has 4999 bytes in place of 5000', () => truncate(entry('plan'), 4999)],
    ['an engine that goes on', 'its engine has 5001 bytes in place of 5000', () => appendFile(entry('plan'), 'x')],
    ['no engine', 'it has no engine', () => rm(entry('plan'))],
    ['no stamp', 'its stamp.json cannot be read', () => rm(entry('stamp.json'))],
    ['an empty stamp', 'its stamp.json cannot be read', () => writeFile(entry('stamp.json'), '')],
    [
      'a stamp of another GPU',
      'its stamp.json says that it is for NVIDIA Sample 80GB',
      () => edit('stamp.json', (text) => text.replace('NVIDIA Example', 'NVIDIA Sample')),
    ],
    [
      'parts that cannot be read',
      'its parts.json cannot be read',
      () => writeFile(entry('parts.json'), '{"format":1}'),
    ],
    [
      'parts of another engine',
      'its parts.json says what another entry is made of',
      () => edit('parts.json', (text) => text.replace('580.10.2', '580.10.3')),
    ],
  ])('%s', async (_, how, damage) => {
    const { plan } = await storeExample();
    // As after a restore: not the file that the package has.
    await rm(plan);
    await damage();
    const { stamp, diagnostics } = await planCache(dir).take(parts, place('taken.plan'));
    expect(stamp).toBeUndefined();
    expect(diagnostics).toMatchObject([
      { severity: 'warning', code: 'damaged-cache-entry', message: expect.stringContaining(how) },
    ]);
    expect(diagnostics[0]!.hint).toContain(join(dir, 'damaged', key));
    expect(await readdir(room)).not.toContain('taken.plan');
    expect(await readdir(join(dir, 'damaged'))).toEqual([key]);
    // There is room for a whole one now.
    const { stamp: again } = await storeExample();
    expect(await planCache(dir).take(parts, place('taken.plan'))).toEqual({ stamp: again, diagnostics: [] });
  });
});

describe('what is not stored', () => {
  test('an engine whose stamp names another GPU than the one that it was looked up for', async () => {
    const { plan, stamp } = await exampleEngine(room, parts);
    const warnings = await planCache(dir).store(parts, { plan, stamp: { ...stamp, gpu: 'NVIDIA Other' } });
    expect(warnings).toMatchObject([{ severity: 'warning', code: 'not-cached' }]);
    expect(warnings[0]!.message).toContain('NVIDIA Other');
    expect((await planCache(dir).take(parts, place('taken.plan'))).stamp).toBeUndefined();
  });

  test('an engine whose weights changed while it was built', async () => {
    const cache = planCache(dir);
    await writeFile(place('model.safetensors'), 'weights');
    await cache.hashes.hash(place('model.safetensors'));
    const built = await exampleEngine(room, parts);
    await writeFile(place('model.safetensors'), 'wEights');
    expect(await cache.store(parts, built)).toMatchObject([{ severity: 'warning', code: 'not-cached' }]);
    expect((await cache.take(parts, place('taken.plan'))).stamp).toBeUndefined();
  });
});

describe('a cache that cannot be used is a warning', () => {
  test('where a file stands in its place', async () => {
    await writeFile(dir, 'a file');
    const built = await exampleEngine(room, parts);
    const cache = planCache(dir);
    expect(await cache.take(parts, place('taken.plan'))).toEqual({ stamp: undefined, diagnostics: [] });
    expect(await cache.store(parts, built)).toMatchObject([{ severity: 'warning', code: 'cache-not-used' }]);
    expect(await readFile(dir, 'utf8')).toBe('a file');
  });

  test('where the engine that should be stored is gone', async () => {
    const { plan, stamp } = await exampleEngine(room, parts);
    await rm(plan);
    expect(await planCache(dir).store(parts, { plan, stamp })).toMatchObject([{ severity: 'warning' }]);
    expect(await readdir(join(dir, 'plans'))).toEqual([]);
  });

  test('where it is not known for which GPU engines would be', () => {
    expect(unknownGpu(dir)).toMatchObject({ severity: 'warning', location: { file: dir } });
  });
});

test('an abort rejects with its reason, and leaves nothing', async () => {
  await storeExample();
  const reason = new Error('enough');
  const aborted = AbortSignal.abort(reason);
  await expect(planCache(dir).take(parts, place('taken.plan'), aborted)).rejects.toBe(reason);
  expect(await readdir(room)).not.toContain('taken.plan');
});

test('processes that store, take and clear away the same engines at once see whole ones or none', async () => {
  const work = `
    import { linkSync, readFileSync, rmSync } from 'node:fs';
    import { createHash } from 'node:crypto';
    import { planCache } from ${JSON.stringify(new URL('../../../dist/compiler/tensorrt/plan-cache/plan-cache.js', import.meta.url).href)};
    import { pruneCache } from ${JSON.stringify(new URL('../../../dist/compiler/tensorrt/plan-cache/prune-cache.js', import.meta.url).href)};
    const [room, name] = process.argv.slice(1);
    const { parts, stamp } = JSON.parse(readFileSync(room + '/built.json', 'utf8'));
    const cache = planCache(room + '/cache');
    const told = [];
    let hits = 0;
    for (let i = 0; i < 60; i++) {
      told.push(...(await cache.store(parts, { plan: room + '/' + name + '.plan', stamp })));
      if (i % 3 === 2 && name !== 'a') await pruneCache(room + '/cache', { keepBytes: 1 });
      const to = room + '/' + name + '.taken';
      const taken = await cache.take(parts, to);
      told.push(...taken.diagnostics);
      if (taken.stamp === undefined) continue;
      hits += 1;
      if (createHash('sha256').update(readFileSync(to)).digest('hex') !== stamp.sha256) told.push('other bytes');
      rmSync(to);
    }
    console.log(JSON.stringify({ told, hits }));`;
  const built = await exampleEngine(room, parts, randomBytes(200_000));
  await writeFile(place('built.json'), JSON.stringify({ parts, stamp: built.stamp }));
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) await link(built.plan, place(`${name}.plan`));
  const ended = await Promise.all(
    names.map((name) => execa(process.execPath, ['--input-type=module', '-e', work, room, name])),
  );
  for (const { stdout } of ended) {
    const { told, hits } = JSON.parse(stdout);
    expect(told).toEqual([]);
    expect(hits).toBeGreaterThan(10);
  }
  const left = await readdir(join(dir, 'plans'));
  expect(left.filter((name) => name !== key)).toEqual([]);
});

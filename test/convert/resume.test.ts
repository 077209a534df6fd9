import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConvertOptions } from '../../compiler/convert/convert-options.ts';
import type { ConvertParts } from '../../compiler/convert/convert-parts.ts';
import { convertWith } from '../../compiler/convert/convert-with.ts';
import { success } from '../../files/diagnostics.ts';
import { filesBelow } from '../e2e/files-below.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { converted, exactParts } from './convert-parts.ts';
import { exactDecomposer } from './exact-decomposer.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-resume-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

let made = 0;
function teacher() {
  const folder = join(scratch, `case-${made++}`);
  const model = join(folder, 'teacher');
  makeTinyModel(model, { block: 4, loops: 1, dtype: 'bf16' });
  const out = join(folder, 'recursive');
  return {
    folder,
    out,
    work: `${out}.rtc-convert`,
    options: { model, out, loops: 2, lora: { rank: 3 } } satisfies ConvertOptions,
  };
}

/** Decomposes, counts, and has something happen behind the n-th time. */
function counting(
  after = Number.POSITIVE_INFINITY,
  then: () => void = () => {},
): ConvertParts & { count: () => number } {
  const exact = exactDecomposer();
  let count = 0;
  const parts = exactParts({
    openDecomposer: async () =>
      success({
        ...exact,
        decompose: async (matrix, options) => {
          const result = await exact.decompose(matrix, options);
          if (++count === after) then();
          return result;
        },
      }),
  });
  return { ...parts, count: () => count };
}

/** Stops a conversion behind its n-th matrix; what is said of it. */
async function interruptedAfter(n: number, options: ConvertOptions) {
  const abort = new AbortController();
  const result = await convertWith(
    { ...options, signal: abort.signal },
    counting(n, () => abort.abort()),
  );
  if (result.ok) throw new Error('not interrupted');
  return result.diagnostics;
}

const finished = (work: string) => readdirSync(work).filter((name) => name.endsWith('.safetensors'));
const all = 4 * 7;

test('interrupted, it says that the same command goes on; that one computes only what is missing, and gives the same bytes', async () => {
  const { folder, out, work, options } = teacher();
  expect(await interruptedAfter(10, options)).toEqual([
    {
      severity: 'error',
      code: 'interrupted',
      location: { file: out },
      message: 'Interrupted; finished matrices are kept in "recursive.rtc-convert".',
      hint: 'The same command goes on from there; --restart begins anew.',
    },
  ]);
  expect(existsSync(out)).toBe(false);
  expect(finished(work)).toHaveLength(10);
  const parts = counting();
  expect(await converted(options, parts)).toMatchObject({ resumed: 10 });
  expect(parts.count()).toBe(all - 10);
  expect(readdirSync(folder).sort()).toEqual(['recursive', 'teacher']);
  const whole = join(folder, 'whole');
  await converted({ ...options, out: whole });
  expect(filesBelow(out)).toEqual(filesBelow(whole));
});

test('interrupted before anything is finished, it leaves nothing', async () => {
  const { folder, options } = teacher();
  const abort = new AbortController();
  abort.abort();
  const result = await convertWith({ ...options, signal: abort.signal }, exactParts());
  expect(result.diagnostics).toMatchObject([{ code: 'interrupted', message: 'Interrupted; nothing was written.' }]);
  expect(readdirSync(folder)).toEqual(['teacher']);
});

test('interrupted while it writes, it goes on without computing anything', async () => {
  const { folder, work, options } = teacher();
  const abort = new AbortController();
  const onProgress = ({ step }: { readonly step: string }) => {
    if (step === 'write') abort.abort();
  };
  const stopped = await convertWith({ ...options, signal: abort.signal, onProgress }, counting());
  expect(stopped.diagnostics).toMatchObject([{ code: 'interrupted' }]);
  expect(readdirSync(folder).sort()).toEqual(['recursive.rtc-convert', 'teacher']);
  expect(finished(work)).toHaveLength(all);
  const parts = counting();
  expect(await converted(options, parts)).toMatchObject({ resumed: all });
  expect(parts.count()).toBe(0);
});

test('a finished matrix whose bytes are others is computed again', async () => {
  const { work, options } = teacher();
  await interruptedAfter(6, options);
  const [first, second, third] = finished(work).map((name) => join(work, name));
  const bytes = readFileSync(first!);
  bytes[bytes.length - 3]! ^= 1;
  writeFileSync(first!, bytes);
  writeFileSync(second!, readFileSync(second!).subarray(0, 500));
  // Whole, but another matrix's.
  writeFileSync(third!, readFileSync(join(work, finished(work)[3]!)));
  const parts = counting();
  expect(await converted(options, parts)).toMatchObject({ resumed: 3 });
  expect(parts.count()).toBe(all - 3);
});

test.each<[string, Partial<ConvertOptions>]>([
  ['another rank', { lora: { rank: 4 } }],
  ['another type', { dtype: 'f32' }],
  ['another mean', { init: 'lower' }],
  ['factors that start at zero', { loraInit: 'zero' }],
])('%s has use for none of them', async (_, change) => {
  const { options } = teacher();
  await interruptedAfter(5, options);
  expect(await converted({ ...options, ...change })).toMatchObject({ resumed: 0 });
});

test('of a model with other weights, only matrices that are the same are taken', async () => {
  const { options } = teacher();
  await interruptedAfter(all, options);
  makeTinyModel(options.model, { block: 4, loops: 1, dtype: 'bf16', seed: 2 });
  expect(await converted(options)).toMatchObject({ resumed: 0 });
});

test('what matrices do not depend on may be another', async () => {
  const { options } = teacher();
  await interruptedAfter(5, options);
  expect(await converted({ ...options, threads: 1, shardBytes: 20_000 })).toMatchObject({ resumed: 5 });
});

test('--restart throws away what is there', async () => {
  const { options } = teacher();
  await interruptedAfter(5, options);
  const parts = counting();
  expect(await converted({ ...options, restart: true }, parts)).toMatchObject({ resumed: 0 });
  expect(parts.count()).toBe(all);
});

test('a folder of that name that is somebody else’s is not touched', async () => {
  const { work, options, out } = teacher();
  mkdirSync(work);
  writeFileSync(join(work, 'notes.txt'), 'mine');
  for (const restart of [false, true]) {
    const result = await convertWith({ ...options, restart }, exactParts());
    expect(result.diagnostics).toMatchObject([{ code: 'output-exists', location: { file: `${out}.rtc-convert` } }]);
  }
  expect(readFileSync(join(work, 'notes.txt'), 'utf8')).toBe('mine');
});

test('where finished matrices cannot be kept, that is told, and what is in the way stays', async () => {
  const { folder, work, options } = teacher();
  const parts = counting(3, () => {
    rmSync(work, { recursive: true });
    writeFileSync(work, 'in the way');
  });
  const result = await convertWith(options, parts);
  expect(result.diagnostics).toMatchObject([{ severity: 'error', code: 'not-a-folder', location: { file: work } }]);
  expect(parts.count()).toBe(3);
  expect(readdirSync(folder).sort()).toEqual(['recursive.rtc-convert', 'teacher']);
  expect(readFileSync(work, 'utf8')).toBe('in the way');
});

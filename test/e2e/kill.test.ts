import {
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readPackage } from '../../files/package.ts';
import { layoutSafetensors } from '../../files/write-safetensors.ts';
import { rtc } from '../cli/rtc.ts';
import { randomStream } from '../support/random.ts';
import { makeTinyModel, tinyDefaults, tinyModel, writeTinyModel } from '../support/tiny-model.ts';
import { filesBelow } from './files-below.ts';

let root: string;
let large: string;
let small: string;
let folder: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-kill-'));
  large = join(root, 'large');
  small = join(root, 'small');
  makeLargeModel(large);
  makeTinyModel(small, { ranks: [1, 2] });
});
afterAll(() => rmSync(root, { recursive: true }));

beforeEach(() => {
  folder = mkdtempSync(join(root, 'here-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A checkpoint of 600 MB that takes no room: its file is a header and a hole. Written in f32 it is 1.2 GB. */
function makeLargeModel(path: string): void {
  const options = { ...tinyDefaults, vocabSize: 150_000, hiddenSize: 2000, tied: true, dtype: 'bf16' } as const;
  const model = tinyModel({ ...options, vocabSize: 1, hiddenSize: 2000 });
  const tensors = model.tensors.map((tensor) =>
    tensor.name.endsWith('embed_tokens.weight')
      ? { ...tensor, shape: [options.vocabSize, options.hiddenSize] }
      : tensor,
  );
  writeTinyModel(path, { ...model, config: { ...model.config, vocab_size: options.vocabSize } }, options);
  const weights = join(path, 'model.safetensors');
  const layout = layoutSafetensors(tensors, { format: 'pt' });
  writeFileSync(weights, layout.header);
  truncateSync(weights, layout.size);
}

/** The folder in which a package is being made, once bytes of its weights are there. */
async function writing(): Promise<string> {
  for (;;) {
    const staged = readdirSync(folder).find((name) => name.startsWith('.rtc-'));
    const weights = staged && join(folder, staged, 'generated.safetensors');
    if (weights && existsSync(weights) && statSync(weights).size > 1e6) return staged;
    await setTimeout(2);
  }
}

/** The most bytes of weights that are seen in `staged` until a process has ended. */
async function mostWritten(staged: string, ended: PromiseLike<unknown>): Promise<number> {
  const weights = join(folder, staged, 'generated.safetensors');
  let most = 0;
  let goesOn = true;
  const stop = ended.then(() => {
    goesOn = false;
  });
  while (goesOn) {
    most = Math.max(most, statSync(weights, { throwIfNoEntry: false })?.size ?? 0);
    await setTimeout(2);
  }
  await stop;
  return most;
}

const start = (args: readonly string[]) => rtc(['compile', ...args, '--out', 'out'], { cwd: folder });
const startLarge = () => start([large, '--write-weights']);

describe.each(['SIGINT', 'SIGTERM'] as const)('%s while weights are written', (signal) => {
  test('ends with 130, and nothing is left', async () => {
    const process = startLarge();
    const staged = await writing();
    process.kill(signal);
    // It does not write all of it first, only to throw it away.
    expect(await mostWritten(staged, process)).toBeLessThan(6e8);
    const { exitCode, stderr, stdout } = await process;
    expect({ exitCode, stdout }).toEqual({ exitCode: 130, stdout: '' });
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('keeps the package that was to be replaced', async () => {
    expect((await start([small])).exitCode).toBe(0);
    const before = filesBelow(folder);
    const process = startLarge();
    await writing();
    process.kill(signal);
    expect((await process).exitCode).toBe(130);
    expect(filesBelow(folder)).toEqual(before);
  });
});

test('a second Ctrl-C does not wait for the first to be done with', async () => {
  const process = startLarge();
  const staged = await writing();
  process.kill('SIGINT');
  process.kill('SIGINT');
  expect((await process).exitCode).toBe(130);
  for (const name of readdirSync(folder)) expect(name).toBe(staged);
});

test('SIGKILL leaves a hidden folder at most, which the next compile does not mind', async () => {
  const process = startLarge();
  const staged = await writing();
  process.kill('SIGKILL');
  expect((await process).signal).toBe('SIGKILL');
  expect(readdirSync(folder)).toEqual([staged]);
  expect((await start([small])).exitCode).toBe(0);
  expect(readdirSync(folder).sort()).toEqual([staged, 'out']);
  expect((await readPackage(join(folder, 'out'))).diagnostics).toEqual([]);
});

describe('SIGKILL at any time', () => {
  const random = randomStream('kill');

  test('leaves a whole package or none', { timeout: 120_000 }, async () => {
    const begun = performance.now();
    expect((await start([small])).exitCode).toBe(0);
    const duration = performance.now() - begun;
    rmSync(join(folder, 'out'), { recursive: true });
    for (let i = 0; i < 12; i++) {
      const process = start([small]);
      // Most of the time goes by before anything is written.
      await setTimeout(duration * (0.4 + 0.6 * random()));
      process.kill('SIGKILL');
      await process;
      const names = readdirSync(folder);
      for (const name of names) expect(name).toMatch(/^(out|\.rtc-[0-9a-f]{12})$/);
      if (names.includes('out')) {
        expect((await readPackage(join(folder, 'out'))).diagnostics).toEqual([]);
        // The next one has to make it again.
        renameSync(join(folder, 'out'), join(root, `done-${i}`));
      }
    }
  });
});

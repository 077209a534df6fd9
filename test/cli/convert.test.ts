import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeTinyModel } from '../support/tiny-model.ts';
import { models, rtc } from './rtc.ts';
import { runHere } from './run-here.ts';

let folder: string;
let model: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-cli-convert-'));
  model = join(folder, 'teacher');
  makeTinyModel(model, { block: 6, loops: 1, dtype: 'bf16' });
});
afterAll(() => rmSync(folder, { recursive: true }));

const convert = (line: string, signal?: AbortSignal) =>
  runHere(['convert', ...line.split(' ').map((word) => word.replace(/^@/, `${folder}/`))], {}, signal);

describe('rtc convert', () => {
  test('says what was lost, names the folder, and what it wrote compiles', async () => {
    const { exitCode, stdout, stderr } = await convert('@teacher --loops 2 --lora-rank 4,mlp=8 --out @first');
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: ['read', 'check weights', ...[0, 1, 2].map((n) => `decompose stored layer ${n}`), 'write']
        .map((step) => `… ${step}\n`)
        .join(''),
    });
    expect(stdout).toContain('6 layers become a block of 3 layers that runs 2 times');
    expect(stdout).toMatch(/mlp\.up_proj +48 × 32 +8 /);
    expect(stdout.endsWith(`converted ${folder}/first\n`)).toBe(true);
    const compiled = await runHere(['compile', join(folder, 'first'), '--out', join(folder, 'package'), '--quiet']);
    expect(compiled).toMatchObject({ exitCode: 0, stderr: '' });
  });

  test('--quiet says where it is, --json all that is known', async () => {
    expect(await convert('@teacher --loops 3 --out @quiet -q')).toEqual({
      exitCode: 0,
      stdout: `${folder}/quiet\n`,
      stderr: '',
    });
    const { exitCode, stdout } = await convert('@teacher --loops 3 --out @json --json --lora-rank 2 --quiet');
    expect(exitCode).toBe(0);
    const document = JSON.parse(stdout) as Record<string, unknown>;
    expect(document).toMatchObject({
      version: 1,
      ok: true,
      folder: join(folder, 'json'),
      sharing: {
        order: 'cycle',
        block: 2,
        loops: 3,
        layers: [0, 1, 0, 1, 0, 1],
        origins: [
          [0, 2, 4],
          [1, 3, 5],
        ],
      },
      lora: { asked: { rank: 2 }, init: 'svd', calibration: null },
      resumed: 0,
      diagnostics: [],
    });
    expect(document.matrices).toHaveLength(42);
  });

  test('every flag arrives', async () => {
    const line =
      '@teacher --sharing 0,1,1,0,2,1 --layers 5,4,3 --norms per-depth --lora-rank 3,depth_0/q_proj=0 --lora-init zero --dtype f32 --threads 1 --out @flags --json -q';
    const { exitCode, stdout } = await convert(line);
    expect(exitCode).toBe(0);
    const { matrices, ...document } = JSON.parse(stdout);
    expect(document).toMatchObject({
      sharing: { order: 'listed', layers: [0, 1, 1, 0, 2, 1], origins: [[5], [4], [3]], norms: 'per-depth' },
      lora: { asked: { rank: { '*': 3, 'depth_0/q_proj': 0 } }, init: 'zero' },
    });
    expect(matrices[0]).toMatchObject({ module: 'self_attn.q_proj', depth: 0, rank: 0, dtype: 'f32' });
    expect(matrices[21]).toMatchObject({ module: 'self_attn.q_proj', depth: 1, rank: 3 });
    expect(JSON.parse(readFileSync(join(folder, 'flags', 'model.json'), 'utf8'))).toMatchObject({
      recursion: { layers: [0, 1, 1, 0, 2, 1], norms: 'per-depth' },
    });
  });

  test('--parameters finds ranks, and stays within', async () => {
    const { exitCode, stdout } = await convert('@teacher --loops 2 --parameters 0.7 --out @budget --json -q');
    expect(exitCode).toBe(0);
    const { parameters, matrices } = JSON.parse(stdout);
    expect(parameters.convertedLayers).toBeLessThanOrEqual(0.7 * parameters.originalLayers);
    expect(parameters.convertedLayers).toBeGreaterThan(0.69 * parameters.originalLayers);
    expect(new Set(matrices.map(({ rank }: { readonly rank: number }) => rank)).size).toBeGreaterThan(1);
  });

  test('--html writes a page, and a folder that is not there is told before the work', async () => {
    expect(await convert('@teacher --loops 2 --lora-rank 2 --out @page --html @page.html -q')).toMatchObject({
      exitCode: 0,
    });
    expect(readFileSync(join(folder, 'page.html'), 'utf8')).toContain('<svg');
    const { exitCode, stderr } = await convert('@teacher --loops 2 --out @none --html @missing/page.html');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('missing/page.html');
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });

  test('a text to evaluate on that cannot be read is told before the work', async () => {
    const { exitCode, stderr } = await convert('@teacher --loops 2 --out @none --evaluate @text.txt');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('tokenizer.json');
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });

  test('what the library says of options is said of flags', async () => {
    const { exitCode, stderr } = await convert('@teacher --loops 2 --layers 0,1 --out @none');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('--layers names 2 originals');
  });
});

test.each([
  ['@teacher --out @x', '--loops is missing'],
  ['@teacher --loops 2', 'out'],
  ['@teacher --loops 1 --out @x', '"1" is no value for --loops'],
  ['@teacher --loops 2 --sharing cicle --out @x', 'Did you mean "cycle"?'],
  ['@teacher --loops 2 --sharing 0,0,1,1,2,2 --out @x', '--loops says what the list of --sharing says too'],
  ['@teacher --loops 2 --init lower --layers 0,1,2 --out @x', '--layers and --init'],
  ['@teacher --loops 2 --layers 0,x --out @x', '"0,x" is no value for --layers'],
  ['@teacher --loops 2 --lora-rank 4 --parameters 0.6 --out @x', '--lora-rank gives ranks, --parameters finds them'],
  ['@teacher --loops 2 --lora-rank mlp: --out @x', '"mlp:" is no value for --lora-rank'],
  ['@teacher --loops 2 --lora-rank 4,8 --out @x', '--lora-rank gives "*" two ranks'],
  ['@teacher --loops 2 --parameters 60% --out @x', '"60%" is no value for --parameters'],
  ['@teacher --loops 2 --calibrate t.txt --out @x', '--calibrate is about factors, and there are none'],
  ['@teacher --loops 2 --lora-init zero --out @x', '--lora-init is about factors, and there are none'],
  ['@teacher --loops 2 --parameters 0.6 --lora-init zero --out @x', '--parameters goes by what factors bring back'],
])('rtc convert %s is wrong usage', async (line, message) => {
  const { exitCode, stdout, stderr } = await convert(line);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(message);
});

test('Ctrl-C ends it with 130, and the same command goes on', async () => {
  const out = join(folder, 'stopped');
  const work = `${out}.rtc-convert`;
  const args = ['convert', join(models, 'kjv-teacher'), '--loops', '2', '--lora-rank', '16', '--out', out];
  const process = rtc(args);
  const finished = () =>
    existsSync(work) ? readdirSync(work).filter((name) => name.endsWith('.safetensors')).length : 0;
  while (finished() < 3) await setTimeout(5);
  process.kill('SIGINT');
  const { exitCode, stderr } = await process;
  expect(exitCode).toBe(130);
  expect(stderr).toContain('The same command goes on from there; --restart begins anew.');
  expect(existsSync(out)).toBe(false);
  const kept = finished();
  expect(kept).toBeLessThan(42);
  const again = await runHere([...args, '--json', '-q']);
  expect(again.exitCode).toBe(0);
  expect(JSON.parse(again.stdout).resumed).toBe(kept);
  expect(existsSync(work)).toBe(false);
});

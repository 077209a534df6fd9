import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import { readPackage } from '../../files/package.ts';
import { configProblems } from '../../targets/triton/check-config.ts';
import { driverFolder, readDriver } from '../../targets/triton/driver-files.ts';
import { compiled } from '../e2e/open-package.ts';
import { generated } from './reference.ts';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
const model = join(examples, 'kjv-relaxed');

let scratch: string;
let folder: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-triton-repository-'));
  folder = await compiled({ model, out: join(scratch, 'repository'), target: 'triton' });
});
afterAll(() => rm(scratch, { recursive: true }));

function filesOf(at: string, prefix = ''): readonly string[] {
  return readdirSync(at, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? filesOf(join(at, entry.name), `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`],
    )
    .sort();
}

test('a package is a model repository: a folder for the model, and nothing but files beside it', async () => {
  const driver = (await readDriver()).map(({ path }) => `kjv-relaxed/1/${path}`);
  expect(driver).toContain('kjv-relaxed/1/model.py');
  expect(driver).toContain('kjv-relaxed/1/rtc_driver/tensorrt_engine.py');
  expect(filesOf(folder)).toEqual(
    [
      ...driver,
      'kjv-relaxed/1/config.json',
      'kjv-relaxed/1/driver.json',
      'kjv-relaxed/1/model.json',
      'kjv-relaxed/1/model.safetensors',
      'kjv-relaxed/1/propagate.onnx',
      'kjv-relaxed/1/step.onnx',
      'kjv-relaxed/config.pbtxt',
      'rtc.json',
      'tokenizer.json',
    ].sort(),
  );
  const read = await readPackage(folder);
  if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
  expect(read.value.manifest.target).toBe('triton');
  expect(Object.keys(read.value.manifest.files)).toHaveLength(filesOf(folder).length - 1);
  const text = await readFile(join(folder, 'kjv-relaxed/config.pbtxt'), 'utf8');
  expect(configProblems(text, { folder: 'kjv-relaxed' })).toEqual([]);
});

test('rtc runs it and verifies it as any other package', async () => {
  const plain = await compiled({ model, out: join(scratch, 'plain') });
  const request = {
    prompt: [41, 78, 259, 804],
    maxNewTokens: 12,
    exit: { kind: 'threshold', threshold: 0.4 },
  } as const;
  for (const policy of ['last-exited', 'propagate'] as const) {
    expect(await generated(folder, [request], policy)).toEqual(await generated(plain, [request], policy));
  }
  const verified = await verifyPackage(folder, {});
  if (!verified.ok) return expect.fail(JSON.stringify(verified.diagnostics));
  expect(verified.value.document.ok).toBe(true);
  expect(verified.value.document.outputs.map(({ name }) => name)).toContain('logits');
});

test('driver.json has the fields that the driver reads, and no others', async () => {
  const source = readFileSync(new URL('rtc_driver/facts.py', driverFolder()), 'utf8');
  const body = source.slice(source.indexOf('class Facts'), source.indexOf('@property'));
  const fields = [...body.matchAll(/^ {4}([a-z_]+): /gm)].map((match) => match[1]!);
  const told = JSON.parse(await readFile(join(folder, 'kjv-relaxed/1/driver.json'), 'utf8')) as object;
  expect(fields.length).toBeGreaterThan(15);
  expect(Object.keys(told).sort()).toEqual([...fields, 'version'].sort());
});

test('config.pbtxt has the parameters that the driver reads, and no others', async () => {
  const source = readFileSync(new URL('model.py', driverFolder()), 'utf8');
  const read = new Set([...source.matchAll(/told\["([a-z_]+)"\]/g)].map((match) => match[1]!));
  const text = await readFile(join(folder, 'kjv-relaxed/config.pbtxt'), 'utf8');
  const told = [...text.matchAll(/key: "([a-z_]+)"/g)].map((match) => match[1]!);
  expect(told.length).toBeGreaterThan(5);
  expect(told.sort()).toEqual([...read].sort());
});

test('the same model gives the same bytes', async () => {
  const again = await compiled({ model, out: join(scratch, 'again'), target: 'triton' });
  for (const path of filesOf(folder)) {
    expect((await readFile(join(again, path))).equals(await readFile(join(folder, path))), path).toBe(true);
  }
});

test('forms and layouts that the driver does not know are refused', async () => {
  for (const [options, code] of [
    [{ form: 'unrolled' }, 'no-repository-form'],
    [{ dialect: 'ort', tensorrt: { tensorrtVersion: '11.1' } }, 'no-dialect'],
    [{ form: 'unrolled', layout: 'huggingface' }, 'no-hugging-face-layout'],
  ] as const) {
    const refused = await compile({ model, out: join(scratch, 'refused'), target: 'triton', ...options });
    expect(refused.ok).toBe(false);
    expect(refused.diagnostics.map((diagnostic) => diagnostic.code)).toContain(code);
  }
});

test('what dist ships finds the driver, too', async () => {
  const script =
    "import { readDriver } from './dist/targets/triton/driver-files.js';" +
    'console.log(JSON.stringify((await readDriver()).map(({ path, bytes }) => [path, bytes.length])));';
  const cwd = fileURLToPath(new URL('../../', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd });
  expect(JSON.parse(stdout)).toEqual((await readDriver()).map(({ path, bytes }) => [path, bytes.length]));
  const { files } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8')) as {
    readonly files: readonly string[];
  };
  expect(files).toContain('targets/triton/driver');
});

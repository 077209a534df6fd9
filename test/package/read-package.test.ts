import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readPackage } from '../../files/package.ts';
import { modelFolder, simplePackage } from './simple-package.ts';

let folder: string;
let out: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  out = join(folder, 'out');
  const model = join(folder, 'model');
  cpSync(modelFolder('kjv-relaxed'), model, { recursive: true });
  await simplePackage(model, { out });
  // What a test does to the weights shall not be done to the model.
  const copy = readFileSync(join(out, 'model.safetensors'));
  rmSync(join(out, 'model.safetensors'));
  writeFileSync(join(out, 'model.safetensors'), copy);
});

afterEach(() => rmSync(folder, { recursive: true }));

async function problems(options: Parameters<typeof readPackage>[1] = {}): Promise<readonly string[]> {
  const read = await readPackage(out, options);
  expect(read.ok).toBe(read.diagnostics.length === 0);
  return read.diagnostics.map(
    ({ code, location }) => `${code} ${location?.path ?? location?.file.slice(out.length + 1)}`,
  );
}

/** Changes rtc.json as text. */
function edit(from: string | RegExp, to: string): void {
  const text = readFileSync(join(out, 'rtc.json'), 'utf8');
  const edited = text.replace(from, to);
  expect(edited).not.toBe(text);
  writeFileSync(join(out, 'rtc.json'), edited);
}

/** Changes a byte of a file in place. */
function flip(name: string, at: number): void {
  const bytes = readFileSync(join(out, name));
  bytes[at]! ^= 1;
  writeFileSync(join(out, name), bytes);
}

test('an untouched package has no problems', async () => {
  expect(await problems()).toEqual([]);
});

test('an altered graph is found by its hash, and not when only sizes are asked for', async () => {
  flip('model.onnx', 100);
  expect(await problems({ check: 'sizes' })).toEqual([]);
  expect(await problems()).toEqual(['altered-file model.onnx']);
});

test('an altered header of linked weights is found; their data is not read', async () => {
  flip('model.safetensors', 2_000_000);
  expect(await problems()).toEqual([]);
  flip('model.safetensors', 30);
  expect(await problems()).toEqual(['altered-file model.safetensors']);
});

test('a header length beyond the file is an altered file', async () => {
  flip('model.safetensors', 6);
  expect(await problems()).toEqual(['altered-file model.safetensors']);
});

test('everything that is wrong is told at once', async () => {
  appendFileSync(join(out, 'config.json'), ' ');
  rmSync(join(out, 'tokenizer.json'));
  writeFileSync(join(out, 'model.safetensors'), readFileSync(join(out, 'model.safetensors')).subarray(0, 1000));
  expect(await problems()).toEqual([
    'altered-file config.json',
    'truncated-file model.safetensors',
    'missing-file files["tokenizer.json"]',
  ]);
});

test('no package: the folder, the file, or nothing there', async () => {
  for (const [path, message] of [
    [folder, 'no rtc.json in it'],
    [join(out, 'rtc.json'), 'a package is a folder'],
    [join(folder, 'nothing'), 'There is no folder'],
  ] as const) {
    const read = await readPackage(path);
    expect(read.diagnostics).toMatchObject([{ code: 'not-a-package', message: expect.stringContaining(message) }]);
  }
});

test('another format or version is no package of ours, and nothing else is said', async () => {
  edit('"version": 1', '"version": 2');
  edit('"form": "unrolled"', '"form": "other"');
  expect(await problems()).toEqual(['unsupported-version version']);
  edit('"rtc-package"', '"rtc-model"');
  expect(await problems()).toEqual(['not-a-package format']);
});

test('a value that cannot be is told with its place', async () => {
  edit('"form": "unrolled"', '"form": "rolled"');
  edit(/"loops": 3/, '"loops": -3');
  expect((await problems()).toSorted()).toEqual(['wrong-value form', 'wrong-value recursion.loops']);
});

test('a graph that is not among the files', async () => {
  edit(/"graphs": \{\s*"model.onnx"/, '"graphs": { "other.onnx"');
  expect(await problems()).toEqual(['invalid-manifest graphs["other.onnx"]']);
});

for (const path of ['../secret', '/etc/hostname', 'a/../../secret', 'a\\\\b', 'C:/x']) {
  test(`a file called ${path} is not looked for`, async () => {
    edit('"tokenizer.json": {', `"${path}": {`);
    expect((await problems())[0]).toMatch(/^(path-leaves-folder|bad-path) files\[/);
  });
}

test('a symbolic link that leads out is refused, one that stays is not', async () => {
  renameSync(join(out, 'tokenizer.json'), join(out, 'real.json'));
  symlinkSync('real.json', join(out, 'tokenizer.json'));
  expect(await problems()).toEqual([]);
  renameSync(join(out, 'real.json'), join(folder, 'real.json'));
  rmSync(join(out, 'tokenizer.json'));
  symlinkSync(join('..', 'real.json'), join(out, 'tokenizer.json'));
  expect(await problems()).toEqual(['path-leaves-folder files["tokenizer.json"]']);
});

test('keys that mean something to JavaScript are refused', async () => {
  edit('"format"', '"__proto__": { "form": "loop" }, "format"');
  expect((await problems())[0]).toMatch(/^forbidden-key/);
});

test('with the signal aborted the promise rejects with its reason', async () => {
  await expect(readPackage(out, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
});

test('a model.json that says nothing of prelude and coda has none; one that is no JSON is for the hashes to find', async () => {
  const file = join(out, 'model.json');
  const { prelude, coda, ...recursion } = JSON.parse(readFileSync(file, 'utf8')).recursion;
  const rewrite = (text: string) => {
    writeFileSync(file, text);
    edit(/("model\.json": \{[^}]*"size": )\d+/, `$1${text.length}`);
  };
  rewrite(JSON.stringify({ format: 'rtc-model', recursion }));
  expect(await problems({ check: 'sizes' })).toEqual([]);
  rewrite('{');
  expect(await problems({ check: 'sizes' })).toEqual([]);
  expect(await problems()).toEqual(['altered-file model.json']);
});

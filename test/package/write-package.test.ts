import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Result } from '../../files/diagnostics.ts';
import { readPackage } from '../../files/package.ts';
import { readSafetensors } from '../../files/safetensors.ts';
import { literal } from '../../ir/weights.ts';
import { modelFolder, simplePackage } from './simple-package.ts';

let folder: string;
let model: string;
let out: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  model = join(folder, 'model');
  out = join(folder, 'out');
  cpSync(modelFolder('kjv-relaxed'), model, { recursive: true });
});

afterEach(() => rmSync(folder, { recursive: true }));

function codes(result: Result<unknown>): readonly string[] {
  return result.diagnostics.map(({ code }) => code);
}

/** Every file below a folder with its bytes. */
function contents(root: string): ReadonlyMap<string, string> {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(root.length + 1), createHash('sha256').update(readFileSync(path)).digest('hex')] as const;
    }),
  );
}

async function expectWhole(): Promise<void> {
  expect((await readPackage(out)).diagnostics).toEqual([]);
  // Nothing that was in the making is left.
  expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
}

test('a package has the graph, the model as it was, its companions, and rtc.json of them all', async () => {
  const written = await simplePackage(model, { out });
  expect(written.diagnostics).toEqual([]);
  await expectWhole();
  const names = ['config.json', 'model.json', 'model.onnx', 'model.safetensors', 'rtc.json', 'tokenizer.json'];
  expect(readdirSync(out).sort()).toEqual(names);
  expect(written.ok && [...written.value.sizes.keys()]).toEqual(names);
  for (const name of ['config.json', 'model.json', 'tokenizer.json']) {
    expect(readFileSync(join(out, name))).toEqual(readFileSync(join(model, name)));
  }
  if (!written.ok) return;
  const { manifest } = written.value;
  expect(manifest.files['model.safetensors']?.origin).toBe('checkpoint');
  expect(manifest.cache.layers).toHaveLength(6);
  expect(manifest.cache.layers[3]).toEqual({ part: 'block', layer: 1, depth: 1 });
  expect(manifest.graphs['model.onnx']?.inputs[0]).toEqual({
    name: 'input_ids',
    dtype: 'i64',
    dims: ['batch', 'sequence'],
  });
  const { stored, unrolled } = manifest.sizes.block;
  expect(unrolled).toBe(3 * stored);
  const total = Object.values(manifest.sizes).reduce((sum, size) => sum + size.stored, 0);
  const file = await readSafetensors(join(model, 'model.safetensors'), { path: 'x', shown: 'x' });
  expect(file.ok && total === file.value.size - file.value.dataStart).toBe(true);
});

test('weights of the checkpoint are hard links, also when the model has symbolic links', async () => {
  renameSync(join(model, 'model.safetensors'), join(model, 'blob'));
  symlinkSync('blob', join(model, 'model.safetensors'));
  expect((await simplePackage(model, { out })).ok).toBe(true);
  expect(statSync(join(out, 'model.safetensors')).ino).toBe(statSync(join(model, 'blob')).ino);
  await expectWhole();
});

const otherFileSystem = ['/dev/shm', '/tmp', resolve('.')].find(
  (path) => existsSync(path) && statSync(path).dev !== statSync(tmpdir()).dev,
);

test.skipIf(otherFileSystem === undefined)(
  'on another file system weights are copied, to the same rtc.json',
  async () => {
    const elsewhere = mkdtempSync(join(otherFileSystem!, 'rtc-test-'));
    try {
      const progress: number[] = [];
      const onProgress = ({ done }: { readonly done?: number }) => progress.push(done ?? 0);
      expect((await simplePackage(model, { out })).ok).toBe(true);
      expect((await simplePackage(model, { out: join(elsewhere, 'out'), onProgress })).ok).toBe(true);
      expect(contents(join(elsewhere, 'out'))).toEqual(contents(out));
      expect(statSync(join(elsewhere, 'out', 'model.safetensors')).nlink).toBe(1);
      expect(progress.at(-1)).toBe(statSync(join(model, 'model.safetensors')).size);
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  },
);

test('two packages of one model are the same to the byte, wherever they are', async () => {
  await simplePackage(model, { out, materialize: true });
  cpSync(model, join(folder, 'elsewhere', 'model'), { recursive: true });
  await simplePackage(join(folder, 'elsewhere', 'model'), { out: join(folder, 'other'), materialize: true });
  expect(contents(join(folder, 'other'))).toEqual(contents(out));
  expect(contents(out).has('generated.safetensors')).toBe(true);
});

test('generated weights lie where the graph says, and weights that no graph reads are left out and named', async () => {
  const written = await simplePackage(model, { out, materialize: true });
  expect(readdirSync(out)).not.toContain('model.safetensors');
  expect(written.ok && written.value.manifest.source.missing).toEqual(['model.safetensors']);
  const path = join(out, 'generated.safetensors');
  const file = await readSafetensors(path, { path, shown: path });
  expect(file.diagnostics).toEqual([]);
  expect(file.ok && [...file.value.tensors.values()].every(({ dtype }) => dtype === 'f32')).toBe(true);
});

test('a path through a folder that is not there does not hide what it leads to', async () => {
  const bystander = join(folder, 'existing');
  mkdirSync(bystander);
  writeFileSync(join(bystander, 'kept'), 'x');
  for (const name of ['existing', 'model', '.']) {
    const before = contents(folder);
    const refused = await simplePackage(model, { out: `${folder}/missing/../${name}` });
    expect(refused.ok).toBe(false);
    expect(contents(folder)).toEqual(before);
  }
});

test('weights are copied where links are not wanted', async () => {
  const weights = (place: string) => statSync(join(place, 'model.safetensors'));
  await simplePackage(model, { out, copyWeights: true });
  await expectWhole();
  expect(weights(out).nlink).toBe(1);
  expect(weights(out).size).toBe(weights(model).size);
});

test('with checksum the whole of a linked file is hashed', async () => {
  const written = await simplePackage(model, { out, checksum: true });
  const sha256 = createHash('sha256')
    .update(readFileSync(join(model, 'model.safetensors')))
    .digest('hex');
  expect(written.ok && written.value.manifest.files['model.safetensors']).toMatchObject({ sha256 });
});

test('an existing package is replaced', async () => {
  await simplePackage(model, { out, materialize: true });
  expect((await simplePackage(model, { out })).ok).toBe(true);
  expect(readdirSync(out)).not.toContain('generated.safetensors');
  await expectWhole();
});

test('what the link to a package leads to is replaced, and the link stays', async () => {
  await simplePackage(model, { out: join(folder, 'real'), materialize: true });
  symlinkSync('real', out);
  expect((await simplePackage(model, { out })).ok).toBe(true);
  expect(readdirSync(join(folder, 'real'))).not.toContain('generated.safetensors');
  await expectWhole();
});

const taken: Readonly<Record<string, () => void>> = {
  'a folder of something else': () => {
    mkdirSync(out);
    writeFileSync(join(out, 'thesis.tex'), 'years of work');
  },
  'an empty folder': () => mkdirSync(out),
  'a folder with an rtc.json of something else': () => {
    mkdirSync(out);
    writeFileSync(join(out, 'rtc.json'), '{"format":"real-time-communication"}');
  },
  'a file': () => writeFileSync(out, 'text'),
  'a link that leads nowhere': () => symlinkSync('nowhere', out),
};

for (const [title, take] of Object.entries(taken)) {
  test(`${title} is not replaced`, async () => {
    take();
    const before = readdirSync(folder, { recursive: true });
    expect(codes(await simplePackage(model, { out }))).toEqual(['output-exists']);
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
  });
}

test('the folder of the model, one around it, and a package that holds it are refused', async () => {
  expect(codes(await simplePackage(model, { out: model }))).toEqual(['output-holds-input']);
  expect(codes(await simplePackage(model, { out: folder }))).toEqual(['output-holds-input']);
  // A package is a model too: compiling it onto itself would delete the weights.
  await simplePackage(model, { out });
  const before = contents(out);
  expect(codes(await simplePackage(out, { out }))).toEqual(['output-holds-input']);
  expect(contents(out)).toEqual(before);
});

test('a weight that a Hugging Face folder links to from a package keeps the package', async () => {
  const teacher = join(folder, 'teacher');
  cpSync(modelFolder('kjv-teacher'), teacher, { recursive: true });
  await simplePackage(teacher, { out });
  rmSync(join(teacher, 'model.json'));
  rmSync(join(teacher, 'model.safetensors'));
  symlinkSync(join(out, 'model.safetensors'), join(teacher, 'model.safetensors'));
  expect(codes(await simplePackage(teacher, { out }))).toEqual(['output-holds-input']);
  await expectWhole();
});

test('a package may lie inside the folder of its model', async () => {
  out = join(model, 'compiled');
  expect((await simplePackage(model, { out })).ok).toBe(true);
  await expectWhole();
});

test('folders on the way are made, and go again when nothing is written', async () => {
  const deep = join(folder, 'a', 'b', 'c');
  const signal = AbortSignal.abort();
  expect(codes(await simplePackage(model, { out: deep, signal }))).toEqual(['interrupted']);
  expect(existsSync(join(folder, 'a'))).toBe(false);
  expect((await simplePackage(model, { out: deep })).ok).toBe(true);
});

test('interrupted in the middle of weights: nothing is left, and what was there stays', async () => {
  await simplePackage(model, { out });
  const before = contents(folder);
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  const result = await simplePackage(model, { out, materialize: true, signal: controller.signal, onProgress });
  expect(codes(result)).toEqual(['interrupted']);
  expect(contents(folder)).toEqual(before);
});

test('what somebody puts at the place meanwhile stays', async () => {
  const onProgress = () => {
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, 'thesis.tex'), 'years of work');
  };
  expect(codes(await simplePackage(model, { out, materialize: true, onProgress }))).toEqual(['output-exists']);
  expect(readdirSync(out)).toEqual(['thesis.tex']);
  expect(readdirSync(folder).sort()).toEqual(['model', 'out']);
});

test('a weight file that goes away in between is told, and nothing is left', async () => {
  const before = [...contents(folder).keys()].filter((name) => name !== 'model/tokenizer.json');
  const onProgress = () => rmSync(join(model, 'tokenizer.json'), { force: true });
  const result = await simplePackage(model, { out, materialize: true, onProgress });
  expect(result.diagnostics).toMatchObject([
    { code: 'missing-file', location: { file: join(model, 'tokenizer.json') } },
  ]);
  expect([...contents(folder).keys()]).toEqual(before);
});

test('below a file there is no place for a package', async () => {
  const result = await simplePackage(model, { out: join(model, 'config.json', 'out') });
  expect(result.ok).toBe(false);
  expect(result.diagnostics[0]?.location?.file).toContain('config.json');
});

test('a name that is too long is told before anything is made', async () => {
  const before = [...contents(folder).keys()];
  expect(codes(await simplePackage(model, { out: join(folder, 'x'.repeat(300)) }))).toEqual(['bad-path']);
  expect([...contents(folder).keys()]).toEqual(before);
});

/** A file system of one megabyte; undefined where mounting is not allowed. */
function smallDisk(): string | undefined {
  const place = join(folder, 'disk');
  mkdirSync(place);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place], { stdio: 'ignore' });
    return place;
  } catch {
    return undefined;
  }
}

test('a full disk is told, and nothing is left on it', async ({ skip }) => {
  const disk = smallDisk();
  if (disk === undefined) return skip('mounting a small disk is not allowed here');
  try {
    const full = join(disk, 'out');
    expect(codes(await simplePackage(model, { out: full }))).toEqual(['disk-full']);
    expect(codes(await simplePackage(model, { out: full, materialize: true }))).toEqual(['disk-full']);
    expect(readdirSync(disk)).toEqual([]);
  } finally {
    execFileSync('umount', [disk]);
  }
});

test('a folder that may not be written to is told', async ({ skip }) => {
  if (process.getuid?.() === 0) return skip('root may write everywhere');
  mkdirSync(join(folder, 'locked'), { mode: 0o555 });
  expect(codes(await simplePackage(model, { out: join(folder, 'locked', 'out') }))).toEqual(['unwritable-file']);
});

test('a weight file called generated.safetensors and generated weights cannot both be', async () => {
  renameSync(join(model, 'model.safetensors'), join(model, 'Generated.safetensors'));
  const text = readFileSync(join(model, 'model.json'), 'utf8');
  writeFileSync(join(model, 'model.json'), text.replace('model.safetensors', 'Generated.safetensors'));
  const generated = [{ name: 'x', expr: literal('f32', [1], [0]) }];
  const generatedFile = 'generated.safetensors';
  const onnx = {
    name: 'model.onnx',
    bytes: new Uint8Array(1),
    linked: ['Generated.safetensors'],
    generated,
    generatedFile,
  };
  expect(codes(await simplePackage(model, { out, onnx: [onnx] }))).toEqual(['name-collision']);
  // Linked alone it is no trouble.
  expect((await simplePackage(model, { out })).ok).toBe(true);
  await expectWhole();
});

test('weights in subfolders keep their paths', async () => {
  mkdirSync(join(model, 'weights', 'deep'), { recursive: true });
  renameSync(join(model, 'model.safetensors'), join(model, 'weights', 'deep', 'a.safetensors'));
  const text = readFileSync(join(model, 'model.json'), 'utf8');
  writeFileSync(join(model, 'model.json'), text.replace('model.safetensors', 'weights/deep/a.safetensors'));
  expect((await simplePackage(model, { out })).ok).toBe(true);
  expect(existsSync(join(out, 'weights', 'deep', 'a.safetensors'))).toBe(true);
  await expectWhole();
});

test('an ordinary Hugging Face folder becomes a package that is a model of one loop', async () => {
  const teacher = join(folder, 'teacher');
  cpSync(modelFolder('kjv-teacher'), teacher, { recursive: true });
  rmSync(join(teacher, 'model.json'));
  expect((await simplePackage(teacher, { out })).ok).toBe(true);
  expect(JSON.parse(readFileSync(join(out, 'model.json'), 'utf8'))).toEqual({
    format: 'rtc-model',
    version: 1,
    name: 'teacher',
    config: 'config.json',
    weights: ['model.safetensors'],
    recursion: { prelude: 0, block: 6, loops: 1, coda: 0 },
  });
  // It can be compiled again.
  expect((await simplePackage(out, { out: join(folder, 'again') })).ok).toBe(true);
});

test('an index goes along with its shards', async () => {
  const header = await readSafetensors(join(model, 'model.safetensors'), { path: 'm', shown: 'm' });
  if (!header.ok) return expect.fail();
  renameSync(join(model, 'model.safetensors'), join(model, 'model-00001-of-00001.safetensors'));
  const map = Object.fromEntries([...header.value.tensors.keys()].map((n) => [n, 'model-00001-of-00001.safetensors']));
  writeFileSync(join(model, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
  const text = readFileSync(join(model, 'model.json'), 'utf8');
  writeFileSync(join(model, 'model.json'), text.replace('model.safetensors', 'model.safetensors.index.json'));
  expect((await simplePackage(model, { out })).ok).toBe(true);
  expect(existsSync(join(out, 'model.safetensors.index.json'))).toBe(true);
  expect((await simplePackage(out, { out: join(folder, 'again') })).ok).toBe(true);
});

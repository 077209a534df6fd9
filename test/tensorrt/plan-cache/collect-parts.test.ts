import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { planParts } from '../../../compiler/tensorrt/plan-cache/collect-parts.ts';
import { planKey } from '../../../compiler/tensorrt/plan-cache/plan-parts.ts';
import { contentHashes } from '../../../compiler/tensorrt/weights/content-hashes.ts';
import type { OnnxGraph, OnnxTensor } from '../../../targets/onnx/onnx-model.ts';
import { encodeModel } from '../../../targets/onnx/proto.ts';
import { hashOf } from './example-parts.ts';

const external = (location: string): OnnxTensor => ({
  name: location,
  elementType: 'FLOAT',
  dims: [1],
  data: { kind: 'external', location, offset: 0, length: 4 },
});

const graphOf = (initializers: readonly OnnxTensor[], inside: readonly OnnxTensor[] = []): OnnxGraph => ({
  name: 'g',
  docString: '',
  nodes: inside.map((value) => ({
    name: 'constant',
    opType: 'Constant',
    domain: '',
    inputs: [],
    outputs: [value.name],
    attributes: { value: { kind: 'tensor', value } },
  })),
  initializers,
  inputs: [],
  outputs: [],
  valueInfo: [],
});

const modelOf = (graph: OnnxGraph) =>
  encodeModel({
    irVersion: 10,
    opsets: [{ domain: '', version: 21 }],
    producerName: '',
    producerVersion: '',
    docString: '',
    metadata: {},
    graph,
  });

const machine = { gpu: 'NVIDIA Example 80GB', computeCapability: '9.0', driver: '580.10.2' };

let scratch: string;
let folder: string;
let count = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-parts-'));
});
afterAll(() => rm(scratch, { recursive: true }));
beforeEach(async () => {
  count += 1;
  folder = join(scratch, String(count));
  await mkdir(join(folder, 'parts'), { recursive: true });
  await writeFile(join(folder, 'a.safetensors'), 'a');
  await writeFile(join(folder, 'parts/b.safetensors'), 'b');
  await writeFile(join(folder, 'unused.safetensors'), 'c');
  await writeFile(join(folder, 'timing.cache'), 't');
  await writeFile(
    join(folder, 'step.onnx'),
    modelOf(graphOf([external('a.safetensors')], [external('parts/b.safetensors')])),
  );
});

const given = ['--onnx=step.onnx', '--saveEngine=step.all.plan', '--timingCacheFile=timing.cache'];
const collect = (changes: { readonly graph?: string; readonly arguments?: readonly string[] } = {}) =>
  planParts({
    folder,
    hashes: contentHashes(),
    graph: 'step.onnx',
    arguments: given,
    tensorrt: '10.16.0',
    machine,
    ...changes,
  });

async function keyNow(changes: { readonly arguments?: readonly string[] } = {}): Promise<string> {
  const parts = await collect(changes);
  if (!parts.ok) throw new Error(parts.diagnostics[0]!.message);
  return planKey(parts.value);
}

test('the graph, the files that its weights are in, and what it is built with, by which version, for which GPU', async () => {
  expect(await collect()).toEqual({
    ok: true,
    diagnostics: [],
    value: {
      format: 1,
      graph: hashOf(modelOf(graphOf([external('a.safetensors')], [external('parts/b.safetensors')]))),
      weights: { 'a.safetensors': hashOf('a'), 'parts/b.safetensors': hashOf('b') },
      arguments: given,
      argumentFiles: {},
      tensorrt: '10.16.0',
      ...machine,
    },
  });
});

test('a graph in a folder has its weights beside it', async () => {
  await writeFile(join(folder, 'parts/model.onnx'), modelOf(graphOf([external('b.safetensors')])));
  expect(await collect({ graph: 'parts/model.onnx' })).toMatchObject({
    value: { weights: { 'parts/b.safetensors': hashOf('b') } },
  });
});

describe('the key', () => {
  test.each<[string, boolean, () => Promise<void>]>([
    ['weights that were edited', true, () => writeFile(join(folder, 'a.safetensors'), 'A')],
    ['weights inside a node', true, () => writeFile(join(folder, 'parts/b.safetensors'), 'B')],
    ['a file that no weight is in', false, () => writeFile(join(folder, 'unused.safetensors'), 'C')],
    ['a timing cache that is not pinned', false, () => writeFile(join(folder, 'timing.cache'), 'T')],
  ])('with %s: another one is %s', async (_, another, edit) => {
    const before = await keyNow();
    await edit();
    expect((await keyNow()) !== before).toBe(another);
  });

  test.each([
    '--staticPlugins=plugin.so',
    '--staticPlugins=first.so,plugin.so',
  ])('with %s: another file is another key', async (flag) => {
    await writeFile(join(folder, 'plugin.so'), 'one');
    const before = await keyNow({ arguments: [...given, flag] });
    await writeFile(join(folder, 'plugin.so'), 'two');
    expect(await keyNow({ arguments: [...given, flag] })).not.toBe(before);
  });

  test('does not see what a build writes', async () => {
    const flags = { arguments: [...given, '--exportLayerInfo=layers.json'] };
    const before = await keyNow(flags);
    await writeFile(join(folder, 'layers.json'), '{}');
    await writeFile(join(folder, 'step.all.plan'), 'engine');
    expect(await keyNow(flags)).toBe(before);
  });

  test('is the same wherever the package is', async () => {
    const before = await keyNow();
    const { rename } = await import('node:fs/promises');
    await rename(folder, `${folder}-moved`);
    folder = `${folder}-moved`;
    expect(await keyNow()).toBe(before);
  });
});

describe('what cannot be read is said, all of it', () => {
  test('weights that are missing', async () => {
    await rm(join(folder, 'a.safetensors'));
    await rm(join(folder, 'parts/b.safetensors'));
    const { ok, diagnostics } = await collect();
    expect(ok).toBe(false);
    expect(diagnostics.map(({ code }) => code)).toEqual(['missing-file', 'missing-file']);
  });

  test('a graph that is none', async () => {
    await writeFile(join(folder, 'step.onnx'), 'no protobuf');
    expect(await collect()).toMatchObject({ ok: false, diagnostics: [{ code: 'invalid-onnx' }] });
  });

  test('weights outside the package', async () => {
    await symlink('/etc/passwd', join(folder, 'link'));
    await writeFile(join(folder, 'step.onnx'), modelOf(graphOf([external('link'), external('../other')])));
    const { diagnostics } = await collect();
    expect(diagnostics.map(({ code }) => code)).toEqual(['path-leaves-folder', 'path-leaves-folder']);
  });
});

import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import { readSafetensors, type SafetensorsFile } from '../../files/safetensors.ts';
import { onnxTypes } from '../../targets/onnx/element-types.ts';
import { allNodes, type OnnxGraph, type OnnxTensor } from '../../targets/onnx/onnx-model.ts';
import { decodeModel } from '../../targets/onnx/proto.ts';
import { modelFolder } from '../package/simple-package.ts';
import { referenceNames } from '../support/reference-model.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { tinyModelOptions } from '../support/tiny-model-options.ts';
import { compiled } from './open-package.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-shared-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

type How = Omit<CompileOptions, 'model' | 'out'>;

/** Ways to compile in which every number of the checkpoint is used as it is stored. */
const linking: readonly How[] = (
  [
    ['f32', 'portable'],
    ['f32', 'ort'],
    ['f16', 'portable'],
    ['bf16', 'ort'],
  ] as const
).flatMap(([precision, dialect]): readonly How[] => [
  { precision, dialect, form: 'unrolled', lora: 'keep', exitLogits: true },
  { precision, dialect, form: 'unrolled', lora: 'concatenate' },
  { precision, dialect, form: 'loop', lora: 'keep' },
  { precision, dialect, form: 'loop', lora: 'concatenate' },
  { precision, dialect, form: 'depth-batched', lora: 'gather' },
  { precision, dialect, form: 'depth-batched', lora: 'concatenate' },
]);

interface Weights {
  readonly source: SourceModel;
  /** Of the graph and of all graphs inside it, loops' bodies. */
  readonly initializers: readonly OnnxTensor[];
  readonly generated: SafetensorsFile | undefined;
  /** Of the graph beside the main one, if there is one. */
  readonly beside: readonly OnnxTensor[];
}

async function weightsOf(model: string, how: How): Promise<Weights> {
  const out = await compiled({ model, out: join(folder, 'package'), verifyEach: false, ...how });
  const tensorsOf = (name: string): readonly OnnxTensor[] => {
    const decoded = decodeModel(readFileSync(join(out, name)), name);
    if (!decoded.ok) return expect.fail(`${name} cannot be read`);
    return graphsOf(decoded.value.graph).flatMap((graph) => [...graph.initializers, ...constants(graph)]);
  };
  const source = await readModel(model);
  if (!source.ok) return expect.fail('the model cannot be read');
  const path = join(out, 'generated.safetensors');
  const generated = existsSync(path) ? await readSafetensors(path, { path, shown: path }) : undefined;
  if (generated?.ok === false) expect.fail(JSON.stringify(generated.diagnostics));
  return {
    source: source.value,
    initializers: tensorsOf(how.form === 'depth-batched' ? 'step.onnx' : 'model.onnx'),
    generated: generated?.value,
    beside: existsSync(join(out, 'propagate.onnx')) ? tensorsOf('propagate.onnx') : [],
  };
}

function graphsOf(graph: OnnxGraph): readonly OnnxGraph[] {
  const inner = [...allNodes(graph)].flatMap(({ attributes }) =>
    Object.values(attributes).flatMap((attribute) => (attribute.kind === 'graph' ? [attribute.value] : [])),
  );
  return [graph, ...inner];
}

/** What nodes have for values is stored in the graph too. */
function constants({ nodes }: OnnxGraph): readonly OnnxTensor[] {
  return nodes.flatMap(({ attributes }) =>
    Object.values(attributes).flatMap((attribute) => (attribute.kind === 'tensor' ? [attribute.value] : [])),
  );
}

/** Where an initializer's bytes are: a line that two have in common only when they are the same bytes. */
function external({ dims, elementType, data }: OnnxTensor): readonly string[] {
  return data.kind === 'external' ? [`${data.location} ${data.offset}+${data.length} ${elementType}[${dims}]`] : [];
}

/** The same line of every tensor of the checkpoint that `takes` takes, each once. */
function stored({ tensors }: SourceModel, takes: (name: string) => boolean = () => true): readonly string[] {
  return [...tensors]
    .filter(([name]) => takes(name))
    .map(
      ([, { file, offset, length, dtype, shape }]) => `${file.path} ${offset}+${length} ${onnxTypes[dtype]}[${shape}]`,
    );
}

/** Fails unless every tensor of the checkpoint is one initializer, whole, and nothing else of size is anywhere. */
function expectLinkedOnce({ source, initializers, generated, beside }: Weights): void {
  expect(initializers.flatMap(external).sort()).toEqual(stored(source).toSorted());
  expect(stored(source)).toEqual(expect.arrayContaining([...beside.flatMap(external)]));
  expect(generated).toBeUndefined();
  for (const { name, data } of [...initializers, ...beside]) {
    if (data.kind === 'inline') expect(data.bytes.length, name).toBeLessThanOrEqual(4096);
  }
}

describe.each(referenceNames)('%s', (name) => {
  test.each(linking)('every tensor is one initializer, none is written: %o', async (how) => {
    expectLinkedOnce(await weightsOf(modelFolder(name), how));
  });

  test.each([
    { form: 'unrolled', dialect: 'portable', precision: 'f32' },
    { form: 'unrolled', dialect: 'ort', precision: 'f16' },
  ] as const)('baked matrices are written, one a depth; everything else is linked once: %o', async (how) => {
    const { source, initializers, generated } = await weightsOf(modelFolder(name), { ...how, lora: 'bake' });
    const { recursion, lora, tensors, spec } = source;
    const first = recursion.prelude;
    const baked = Array.from({ length: lora ? recursion.block : 0 }, (_, k) =>
      lora!.targets.map((target) => `${spec.names.layers}.${first + k}.${target}.weight`),
    ).flat();
    expect(baked.every((tensor) => tensors.has(tensor))).toBe(true);
    const linked = initializers.filter(
      ({ data }) => data.kind === 'external' && data.location !== 'generated.safetensors',
    );
    const whole = (tensor: string) => !tensor.includes('.lora_') && !baked.includes(tensor);
    expect(linked.flatMap(external).sort()).toEqual(stored(source, whole).toSorted());
    const shapes = (list: readonly (readonly number[])[]) => list.map(String).sort();
    expect(shapes([...(generated?.tensors.values() ?? [])].map(({ shape }) => shape))).toEqual(
      shapes(baked.flatMap((tensor) => Array.from({ length: recursion.loops }, () => tensors.get(tensor)!.shape))),
    );
  });

  test.each([
    { form: 'unrolled', dialect: 'portable', precision: 'f32' },
    { form: 'unrolled', dialect: 'ort', precision: 'bf16' },
    { form: 'loop', dialect: 'ort', precision: 'f32' },
    { form: 'loop', dialect: 'portable', precision: 'f16' },
    { form: 'depth-batched', dialect: 'portable', precision: 'f32' },
    { form: 'depth-batched', dialect: 'ort', precision: 'f16' },
  ] as const)('when weights are written, each is written once: %o', async (how) => {
    const { source, initializers, generated, beside } = await weightsOf(modelFolder(name), {
      ...how,
      lora: 'keep',
      writeWeights: true,
    });
    if (!generated) return expect.fail('no weights were written');
    const used = initializers.flatMap(external);
    expect(used.filter((line) => !line.startsWith('generated.safetensors '))).toEqual([]);
    expect(used).toHaveLength(generated.tensors.size);
    expect(used).toEqual(expect.arrayContaining([...beside.flatMap(external)]));
    expect(new Set(used).size).toBe(used.length);
    const elements = (shape: readonly number[]) => shape.reduce((product, dim) => product * dim, 1);
    const matrices = [...generated.tensors.values()].filter(({ shape }) => elements(shape) > 256);
    const hashes = matrices.map((entry) =>
      createHash('sha256').update(readTensorSync(generated.absolutePath, entry)).digest('hex'),
    );
    expect(new Set(hashes).size).toBe(hashes.length);
    // In the loop form factors are filled up to the largest rank; in the other there is not one number more.
    const count = (list: Iterable<{ readonly shape: readonly number[] }>) =>
      [...list].reduce((total, { shape }) => total + elements(shape), 0);
    if (how.form === 'unrolled') expect(count(generated.tensors.values())).toBe(count(source.tensors.values()));
  });
});

test('models of any architecture, in any number of files and mix of types: every tensor is one initializer', async () => {
  const drawn = fc.sample(tinyModelOptions(), { seed: 2026, numRuns: 48 });
  for (const [i, options] of drawn.entries()) {
    const model = join(folder, 'model');
    makeTinyModel(model, options);
    const how = linking[i % linking.length]!;
    try {
      expectLinkedOnce(await weightsOf(model, how));
    } catch (error) {
      if (error instanceof Error) error.message = `${JSON.stringify({ how, options })}\n${error.message}`;
      throw error;
    }
    rmSync(model, { recursive: true });
  }
});

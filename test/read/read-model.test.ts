import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nameOfFolder } from '../../compiler/read/locate-model.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { formatDiagnostics } from '../../files/format-diagnostics.ts';
import {
  makeTinyModel,
  type TinyModelOptions,
  tinyDefaults,
  tinyModel,
  writeJson,
  writeTinyModel,
} from '../support/tiny-model.ts';

let root = '';
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-read-'));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const next = (name = 'model') => join(root, String(made++), name);

function tiny(options: Partial<TinyModelOptions> = {}): string {
  const folder = next();
  makeTinyModel(folder, options);
  return folder;
}

async function read(path: string): Promise<SourceModel> {
  const result = await readModel(path);
  if (!result.ok) throw new Error(formatDiagnostics(result.diagnostics));
  return result.value;
}

describe('a model.json', () => {
  test('is named by itself or by its folder, and gives the same', async () => {
    const folder = tiny({ ranks: [2, 0], alpha: 4, exits: { after: [1], confidence: 'margin', threshold: 0.5 } });
    const model = await read(folder);
    expect(await read(join(folder, 'model.json'))).toEqual(model);
    expect(model).toMatchObject({
      name: 'tiny',
      folder,
      modelJson: 'model.json',
      configPath: 'config.json',
      recursion: { prelude: 0, block: 2, loops: 2, coda: 0 },
      lora: { alpha: 4 },
      exits: { after: [1], confidence: 'margin', threshold: 0.5 },
    });
    expect(model.files.map((f) => f.path)).toEqual(['model.safetensors']);
    expect(model.tensors.get('model.norm.weight')?.file).toBe(model.files[0]);
  });

  test('may name a schema for editors, may leave out what has a default, and may lie in folders', async () => {
    const folder = next('a b é');
    const model = tinyModel({ ...tinyDefaults, loops: 1 });
    writeTinyModel(folder, model, tinyDefaults);
    mkdirSync(join(folder, 'sub'));
    renameSync(join(folder, 'model.safetensors'), join(folder, 'sub', 'model.safetensors'));
    renameSync(join(folder, 'config.json'), join(folder, 'sub', 'config.json'));
    const { name: _, ...rest } = model.modelJson;
    writeJson(join(folder, 'model.json'), {
      $schema: './schema.json',
      ...rest,
      config: './sub//config.json',
      weights: ['sub/model.safetensors'],
      recursion: { block: 2, loops: 1 },
      exits: { after: [] },
    });
    const found = await read(folder);
    expect(found).toMatchObject({ name: 'a-b-', configPath: 'sub/config.json', exits: undefined, lora: undefined });
    expect(found.recursion).toEqual({ prelude: 0, block: 2, loops: 1, coda: 0 });
    expect(found.files[0]?.path).toBe('sub/model.safetensors');
  });

  test('an index may lie in a folder; its paths are relative to it', async () => {
    const folder = tiny({ shards: 2 });
    mkdirSync(join(folder, 'sub'));
    for (const name of ['model-1-of-2.safetensors', 'model-2-of-2.safetensors', 'model.safetensors.index.json']) {
      renameSync(join(folder, name), join(folder, 'sub', name));
    }
    const json = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')) as object;
    writeJson(join(folder, 'model.json'), { ...json, weights: ['sub/model.safetensors.index.json'] });
    expect((await read(folder)).files.map((f) => f.path).toSorted()).toEqual([
      'sub/model-1-of-2.safetensors',
      'sub/model-2-of-2.safetensors',
    ]);
  });

  test('links inside the folder, and hard links, are followed', async () => {
    const folder = tiny();
    renameSync(join(folder, 'config.json'), join(folder, 'other.json'));
    symlinkSync('other.json', join(folder, 'config.json'));
    linkSync(join(folder, 'model.safetensors'), join(root, `hard-${made++}`));
    expect((await read(folder)).configPath).toBe('config.json');
    const outside = join(root, `link-${made++}`);
    symlinkSync(folder, outside);
    expect((await read(outside)).folder).toBe(outside);
  });

  test('files are named as the user named the folder', async () => {
    const folder = tiny();
    rmSync(join(folder, 'model.safetensors'));
    const given = relative(process.cwd(), folder);
    const result = await readModel(given);
    expect(result.diagnostics[0]).toMatchObject({
      code: 'missing-file',
      location: { file: join(given, 'model.json') },
    });
    expect(result.diagnostics[0]?.message).toContain(join(given, 'model.safetensors'));
  });

  test('companions come along, those that are there, sorted', async () => {
    const folder = tiny();
    for (const name of ['vocab.json', 'tokenizer.json', 'README.md', 'generation_config.json']) {
      writeFileSync(join(folder, name), '{}');
    }
    expect((await read(folder)).companions).toEqual(['generation_config.json', 'tokenizer.json', 'vocab.json']);
  });
});

describe('an ordinary Hugging Face folder', () => {
  const plain = { loops: 1, modelJson: false } as const;

  test('is a block of all its layers that runs once', async () => {
    for (const shards of [1, 3]) {
      const model = await read(tiny({ ...plain, block: 3, shards }));
      expect(model).toMatchObject({
        name: 'model',
        modelJson: undefined,
        recursion: { prelude: 0, block: 3, loops: 1, coda: 0 },
        lora: undefined,
        exits: undefined,
      });
      expect(model.files).toHaveLength(shards);
    }
  });

  test('of a cache, whose files are all links that lead out', async () => {
    const blobs = tiny(plain);
    const folder = join(next(), 'models--someone--Some-Model_1.5', 'snapshots', 'abcdef');
    mkdirSync(folder, { recursive: true });
    for (const name of ['config.json', 'model.safetensors']) symlinkSync(join(blobs, name), join(folder, name));
    expect((await read(folder)).name).toBe('Some-Model_1.5');
  });

  test('GPT-NeoX of transformers 4 has embed_out and buffers that nothing needs', async () => {
    const options = { ...tinyDefaults, ...plain, modelType: 'gpt_neox', kvHeads: 4, transformers: 4 } as const;
    const model = tinyModel(options);
    for (const buffer of ['bias', 'masked_bias', 'rotary_emb.inv_freq']) {
      model.tensors.push({ name: `gpt_neox.layers.0.attention.${buffer}`, dtype: 'f32', shape: [1], values: [0] });
    }
    const folder = next();
    writeTinyModel(folder, model, options);
    expect((await read(folder)).spec.names.head).toBe('embed_out');
  });
});

describe('a tied head that is stored', () => {
  const withHead = (change: (values: number[]) => void) => {
    const options = { ...tinyDefaults, tied: true };
    const model = tinyModel(options);
    const embedding = model.tensors.find((t) => t.name === 'model.embed_tokens.weight')!;
    const values = [...embedding.values];
    change(values);
    model.tensors.push({ ...embedding, name: 'lm_head.weight', values });
    const folder = next();
    writeTinyModel(folder, model, options);
    return readModel(folder);
  };

  test('is a note when it is the embedding', async () => {
    const result = await withHead(() => undefined);
    expect(result.ok).toBe(true);
    expect(result.diagnostics).toMatchObject([{ severity: 'note', code: 'tied-head' }]);
  });

  test('is an error when its last number is another', async () => {
    const result = await withHead((values) => {
      values[values.length - 1]! += 1;
    });
    expect(result.diagnostics).toMatchObject([{ severity: 'error', code: 'tied-head' }]);
  });
});

test('all problems are told at once: of model.json, or of the config, the weights and the targets', async () => {
  const model = tinyModel({ ...tinyDefaults, ranks: [1, 1] });
  (model.config as Record<string, unknown>).hidden_act = 'none';
  (model.config as Record<string, unknown>).rms_norm_eps = 0;
  const folder = next();
  writeTinyModel(folder, model, tinyDefaults);
  writeFileSync(join(folder, 'model.safetensors'), '');
  expect((await readModel(folder)).diagnostics.map((d) => d.code).toSorted()).toEqual([
    'truncated-file',
    'unsupported-activation',
    'wrong-value',
  ]);
});

test('a hundred wrong tensors are told in nine sentences', async () => {
  const model = tinyModel({ ...tinyDefaults, block: 12 });
  const tensors = model.tensors.filter((t) => !t.name.includes('layers'));
  const folder = next();
  writeTinyModel(folder, { ...model, tensors }, tinyDefaults);
  const { diagnostics } = await readModel(folder);
  expect(diagnostics).toHaveLength(9);
  expect(diagnostics.at(-1)?.message).toBe('There are 100 more of this kind (missing-tensor).');
});

test('reading stops when it is told to', async () => {
  const folder = tiny();
  await expect(readModel(folder, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
});

test.each([
  ['/x/my model (v2)', 'my-model-v2-'],
  ['/x/..', 'model'],
  ['/x/日本', 'model'],
  ['/', 'model'],
  ['/home/.cache/hub/models--org--Name-1/snapshots/0123', 'Name-1'],
])('the folder %s is named %s', (folder, name) => {
  expect(nameOfFolder(folder)).toBe(name);
});

test('files that are damaged anywhere are refused or read, and never throw', async () => {
  const folder = tiny({ ranks: [1, 2], exits: { after: [1] }, shards: 2 });
  const names = ['model.json', 'config.json', 'model.safetensors.index.json', 'model-1-of-2.safetensors'];
  const originals = new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
  const damage = fc.record({
    name: fc.constantFrom(...names),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc.constantFrom('{', '}', '[', '"', '0', '-', 'null', '1e999', ',').map(Buffer.from),
    ),
    remove: fc.nat({ max: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(damage, async ({ name, at, bytes, remove }) => {
      const original = originals.get(name)!;
      const from = Math.floor(at * Math.min(original.length, 6000));
      writeFileSync(
        join(folder, name),
        Buffer.concat([original.subarray(0, from), bytes, original.subarray(from + remove)]),
      );
      try {
        const result = await readModel(folder);
        if (!result.ok) expect(result.diagnostics.length).toBeGreaterThan(0);
      } finally {
        writeFileSync(join(folder, name), original);
      }
    }),
    { numRuns: 300 },
  );
});

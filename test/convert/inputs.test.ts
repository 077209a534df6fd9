import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../compiler/convert/convert-options.ts';
import type { ConvertParts } from '../../compiler/convert/convert-parts.ts';
import { convertWith } from '../../compiler/convert/convert-with.ts';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { filesBelow } from '../e2e/files-below.ts';
import {
  type TinyModel,
  type TinyModelOptions,
  tinyDefaults,
  tinyModel,
  writeJson,
  writeTinyModel,
} from '../support/tiny-model.ts';
import { exactParts } from './convert-parts.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-inputs-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

interface Case {
  readonly name: string;
  readonly model?: Partial<TinyModelOptions>;
  /** What is wrong with the model's values, or in its folder. */
  readonly change?: (model: TinyModel) => void;
  readonly files?: (folder: string) => void;
  /** Some are of no type that ConvertOptions has. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly parts?: Partial<ConvertParts>;
  readonly expected: readonly Partial<Diagnostic>[];
}

/** Changes one number of a tensor. */
function put(model: TinyModel, name: string, index: number, value: number): void {
  (model.tensors.find((tensor) => tensor.name === name)!.values as number[])[index] = value;
}

const down = 'model.layers.4.mlp.down_proj.weight';

const cases: readonly Case[] = [
  {
    name: 'layers that do not go into the loops',
    options: { loops: 4 },
    expected: [
      {
        code: 'not-divisible',
        message: '6 layers cannot be shared by 4 loops: each of the stored layers runs equally often.',
        hint: 'Choose 2, 3 or 6 loops.',
      },
    ],
  },
  {
    name: 'the same without the first and the last',
    options: { loops: 3, sharing: 'middle-cycle' },
    expected: [
      {
        code: 'not-divisible',
        message:
          '6 layers without the first and the last, which are 4, cannot be shared by 3 loops: each of the stored layers runs equally often.',
        hint: 'Choose 2 or 4 loops.',
      },
    ],
  },
  {
    name: 'too few layers',
    model: { block: 3 },
    options: { sharing: 'middle-sequence' },
    expected: [{ code: 'not-divisible', message: expect.stringContaining('too few to share') as never }],
  },
  {
    name: 'many layers: only the loops around are named',
    model: { block: 48 },
    options: { loops: 7 },
    expected: [{ code: 'not-divisible', hint: 'Choose 4, 6, 8 or 12 loops.' }],
  },
  {
    name: 'a model that is recursive already',
    model: { block: 3, loops: 2 },
    expected: [{ code: 'already-recursive', message: '"tiny" is recursive already: it stores 3 layers and runs 6.' }],
  },
  {
    name: 'a model with factors',
    model: { ranks: [2] },
    expected: [{ code: 'already-recursive' }],
  },
  {
    name: 'an architecture that nobody knows',
    change: ({ config }) => {
      config.model_type = 'mamba';
    },
    expected: [{ code: 'unknown-model-type' }],
  },
  {
    name: 'quantised weights',
    change: ({ config }) => {
      config.quantization_config = { quant_method: 'gptq', bits: 4 };
    },
    expected: [{ code: 'quantised-weights' }],
  },
  {
    name: 'weights of float64',
    model: { dtype: 'f64' },
    expected: expect.arrayContaining([expect.objectContaining({ code: 'unsupported-dtype' })]) as never,
  },
  {
    name: 'a missing tensor',
    change: (model) => {
      model.tensors.splice(
        model.tensors.findIndex(({ name }) => name === down),
        1,
      );
    },
    expected: [{ code: 'missing-tensor', location: { path: down } as never }],
  },
  {
    name: 'a file that is cut off',
    files: (folder) => {
      const file = join(folder, 'model.safetensors');
      writeFileSync(file, readFileSync(file).subarray(0, -64));
    },
    expected: [{ code: 'tensor-out-of-range' }],
  },
  {
    name: 'no model at all',
    files: (folder) => rmSync(folder, { recursive: true }),
    expected: [{ code: 'missing-file' }],
  },
  ...(['f32', 'f16', 'bf16'] as const).map(
    (dtype): Case => ({
      name: `NaN and infinity among weights of ${dtype}`,
      model: { dtype },
      change: (model) => {
        put(model, down, 3 * 48 + 7, Number.NaN);
        put(model, down, 1000, Number.POSITIVE_INFINITY);
        put(model, 'model.norm.weight', 5, Number.NEGATIVE_INFINITY);
      },
      expected: [
        {
          code: 'not-finite',
          location: expect.objectContaining({ path: down }) as never,
          message: `Tensor "${down}" has NaN at [3, 7], and 1 more like it.`,
        },
        { code: 'not-finite', message: 'Tensor "model.norm.weight" has -infinity at [5].' },
      ],
    }),
  ),
  {
    name: 'numbers that half precision does not have',
    change: (model) => put(model, down, 1, 70_000),
    options: { dtype: 'f16' },
    expected: [{ code: 'not-finite', message: `Tensor "${down}" has 70000 at [0, 1], beyond the 65504 of F16.` }],
  },
  {
    name: 'layers with and without a window that would be one',
    model: { modelType: 'qwen3', slidingWindow: 16, windowed: [true, false] },
    options: { loops: 2 },
    expected: [
      {
        code: 'mixed-layers',
        message:
          'Layers 0 and 3 would share stored layer 0, but of sliding windows the first has one of 16 positions, the second none.',
      },
    ],
  },
  {
    name: 'ranks of modules and depths that there are not',
    options: { lora: { rank: { q_prj: 4, 'depth_2/mlp': 4, mlp: -1 } } },
    expected: [
      { code: 'unknown-target', message: 'No module is called "q_prj". Did you mean "q_proj"?' },
      { code: 'unknown-depth', message: '"depth_2/mlp" names depth 2, but a layer runs 2 times, at depths 0 to 1.' },
      { code: 'invalid-option', message: 'The rank of "mlp" is -1; a whole number from 0 was expected.' },
    ],
  },
  {
    name: 'a budget that is smaller than the shared layers',
    options: { lora: { parameters: 0.4 } },
    expected: [
      {
        code: 'budget-too-small',
        message: "The shared layers alone have 50.0 % of the original's parameters; 40.0 % leave no room for factors.",
        hint: expect.stringContaining('0.501') as never,
      },
    ],
  },
  {
    name: 'originals that are none, or too many',
    options: { layers: [0, 1] },
    expected: [{ code: 'invalid-option', message: '"layers" names 2 originals, and the block has 3 layers.' }],
  },
  {
    name: 'an original beyond the last',
    options: { layers: [0, 1, 6] },
    expected: [{ code: 'invalid-option', message: '"layers" names layer 6; the model has layers 0 to 5.' }],
  },
  {
    name: 'an original that stays its own',
    options: { layers: [0, 4], sharing: 'middle-cycle' },
    expected: [{ code: 'invalid-option', hint: 'Name layers from 1 to 4.' }],
  },
  {
    name: 'a list that leaves out a stored layer',
    options: { loops: undefined, sharing: [0, 2, 2, 0, 3, 3] },
    expected: [{ message: '"sharing" goes up to stored layer 3, but leaves out 1.' }],
  },
  {
    name: 'a list of another length',
    options: { loops: undefined, sharing: [0, 0] },
    expected: [{ message: '"sharing" lists 2 layers, and the model has 6.' }],
  },
  {
    name: 'a list that shares nothing',
    options: { loops: undefined, sharing: [5, 4, 3, 2, 1, 0] },
    expected: [{ code: 'nothing-shared' }],
  },
  {
    name: 'options of JavaScript that no type has checked',
    options: {
      loops: 1.5,
      sharing: 'cicle',
      init: 'mean',
      norms: 'none',
      dtype: 'f64',
      threads: 0,
      lora: { parameters: -1 },
    },
    expected: [
      { code: 'unknown-choice', message: 'The option "sharing" is "cicle". Did you mean "cycle"?' },
      { code: 'unknown-choice', message: 'The option "init" is "mean".' },
      { code: 'unknown-choice', message: 'The option "norms" is "none".' },
      { code: 'unknown-choice' },
      { code: 'invalid-option', message: 'The option "loops" is 1.5; a whole number from 2 was expected.' },
      { code: 'invalid-option' },
      { code: 'invalid-option' },
    ],
  },
  {
    name: 'options that contradict each other',
    options: {
      sharing: [0, 0, 0, 1, 1, 1],
      layers: [0, 1],
      init: 'lower',
      lora: { parameters: 0.6 },
      loraInit: 'zero',
    },
    expected: [{ code: 'contradiction' }, { code: 'contradiction' }, { code: 'contradiction' }],
  },
  {
    name: 'neither loops nor a list',
    options: { loops: undefined },
    expected: [{ code: 'missing-option' }],
  },
  {
    name: 'a disk without room',
    parts: { freeBytes: async () => 100_000 },
    options: { lora: { rank: 4 } },
    expected: [
      {
        code: 'disk-full',
        message: expect.stringMatching(
          /takes up to 1\.[0-9]+ MB while it is made, and 100 kB are free there\.$/,
        ) as never,
      },
    ],
  },
];

test.each(cases.map((each) => [each.name, each] as const))('%s', async (name, {
  model,
  change,
  files,
  options,
  parts,
  expected,
}) => {
  const folder = join(scratch, name.replaceAll(/\W+/g, '-'));
  const complete = { ...tinyDefaults, block: 6, loops: 1, ...model };
  const values = tinyModel(complete);
  change?.(values);
  writeTinyModel(join(folder, 'teacher'), values, complete);
  files?.(join(folder, 'teacher'));
  const before = filesBelow(folder);
  const result = await convertWith(
    { model: join(folder, 'teacher'), out: join(folder, 'new', 'out'), loops: 2, ...options } as ConvertOptions,
    exactParts({
      openDecomposer: () => {
        throw new Error('the work has begun');
      },
      ...parts,
    }),
  );
  expect(result.ok).toBe(false);
  const errors = result.diagnostics.filter(({ severity }) => severity === 'error');
  expect(errors).toEqual(
    Array.isArray(expected) ? expected.map((one) => expect.objectContaining(withPath(one))) : expected,
  );
  for (const { message } of errors) expect(message).toMatch(/[.?]$/);
  expect(filesBelow(folder), 'nothing was written').toEqual(before);
});

/** A location of which only the path is said. */
function withPath(diagnostic: Partial<Diagnostic>): Partial<Diagnostic> {
  const { location } = diagnostic;
  return location && !('file' in location) && 'path' in location
    ? { ...diagnostic, location: expect.objectContaining(location) as never }
    : diagnostic;
}

describe('where it is to be written', () => {
  const write = (folder: string) => {
    const model = join(folder, 'teacher');
    const complete = { ...tinyDefaults, block: 6, loops: 1 };
    writeTinyModel(model, tinyModel(complete), complete);
    return model;
  };

  test('nothing is replaced: a checkpoint may have been trained', async () => {
    const folder = join(scratch, 'taken');
    const model = write(folder);
    const out = join(folder, 'out');
    expect((await convertWith({ model, out, loops: 2 }, exactParts())).ok).toBe(true);
    const before = filesBelow(folder);
    expect((await convertWith({ model, out, loops: 2 }, exactParts())).diagnostics).toMatchObject([
      { code: 'output-exists', message: `"${out}" exists.` },
    ]);
    expect(filesBelow(folder)).toEqual(before);
  });

  test('not onto the model, nor over an empty folder, a file, or a name that is empty', async () => {
    const folder = join(scratch, 'places');
    const model = write(folder);
    mkdirSync(join(folder, 'empty'));
    writeJson(join(folder, 'file'), {});
    for (const [out, code] of [
      [model, 'output-holds-input'],
      [folder, 'output-holds-input'],
      [join(folder, 'empty'), 'output-exists'],
      [join(folder, 'file'), 'output-exists'],
      [join(folder, 'file', 'below'), 'bad-path'],
      ['', 'bad-path'],
    ] as const) {
      expect((await convertWith({ model, out, loops: 2 }, exactParts())).diagnostics, out).toMatchObject([{ code }]);
    }
  });
});

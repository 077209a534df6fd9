import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { program, rtc } from '../cli/rtc.ts';
import { modelFolder } from '../package/simple-package.ts';
import { referenceNames } from '../support/reference-model.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { filesBelow } from './files-below.ts';
import { compiled } from './open-package.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-same-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const forms = ['depth-batched', 'loop', 'unrolled'] as const;
const variants: readonly Omit<CompileOptions, 'model' | 'out'>[] = forms.flatMap((form) =>
  (['portable', 'ort'] as const).flatMap((dialect) => [
    { form, dialect },
    { form, dialect, writeWeights: true, checksum: true },
  ]),
);

describe('two compiles give the same bytes of every file', () => {
  test.each(variants)('$form, $dialect, write weights: $writeWeights', async (variant) => {
    for (const name of ['kjv-relaxed', 'llama-middle-cycle', 'gpt-neox-relaxed']) {
      const outs = [join(folder, 'first'), join(folder, 'second', 'deeper')];
      for (const out of outs) await compiled({ model: modelFolder(name), out, ...variant });
      const [first, second] = outs.map(filesBelow);
      expect(Object.keys(first!)).toContain(variant.writeWeights ? 'generated.safetensors' : 'model.safetensors');
      expect(second).toEqual(first);
    }
  });

  test.each([
    { lora: 'bake' },
    { lora: 'bake', precision: 'f16', writeWeights: true },
    { lora: 'concatenate', precision: 'bf16', exitLogits: true },
    { lora: 'keep', bindings: true, checksum: true },
    { layout: 'huggingface' },
  ] as const)('%o', async (variant) => {
    const outs = [join(folder, 'first'), join(folder, 'second', 'deeper')];
    for (const out of outs) await compiled({ model: modelFolder('kjv-relaxed'), out, form: 'unrolled', ...variant });
    const [first, second] = outs.map(filesBelow);
    expect(second).toEqual(first);
  });
});

test('where it runs, how paths are spelled, and what the environment says change nothing', async () => {
  const model = join(folder, 'kjv-relaxed');
  symlinkSync(modelFolder('kjv-relaxed'), model);
  const elsewhere = join(folder, 'else', 'where');
  mkdirSync(elsewhere, { recursive: true });
  const spellings: readonly (readonly [model: string, out: string, cwd: string, env: object])[] = [
    [modelFolder('kjv-relaxed'), join(folder, 'absolute'), '/', {}],
    ['kjv-relaxed', 'relative', folder, { TZ: 'Asia/Tokyo', LANG: 'de_DE.UTF-8', HOME: '/nowhere' }],
    ['../.././kjv-relaxed//model.json', './with/../dots/', elsewhere, { RTC_DEBUG: '4', NO_COLOR: '1' }],
  ];
  const packages = [];
  for (const [path, out, cwd, env] of spellings) {
    const { exitCode, stdout, stderr } = await rtc(['compile', path, '--out', out, '--json'], { cwd, env });
    expect(exitCode, stderr).toBe(0);
    packages.push(filesBelow(JSON.parse(stdout).package));
  }
  expect(packages[1]).toEqual(packages[0]);
  expect(packages[2]).toEqual(packages[0]);
});

/** Functions whose last bits differ from one Node to another are in the rotary tables of these. */
const tiny: Readonly<Record<string, Partial<TinyModelOptions>>> = {
  linear: { rope: { kind: 'linear', factor: 3.5 }, theta: 500_000 },
  llama3: { rope: { kind: 'llama3', factor: 8, low: 1, high: 4, original: 32 }, headDim: 16, theta: 500_000 },
  yarn: { rope: { kind: 'yarn', factor: 4, original: 32, more: {} }, headDim: 16, dtype: 'f16', ranks: [2, 3] },
  mscale: {
    rope: { kind: 'yarn', factor: 7, original: 32, more: { mscale: 1, mscale_all_dim: 0.8 } },
    maxPositions: 224,
    modelType: 'qwen3',
    dtype: 'bf16',
    loraDtype: 'f16',
    ranks: [1, 3],
    alpha: 0.5,
  },
};

describe('another version of Node', () => {
  test('gives the same bytes', async ({ skip }) => {
    const other = await otherNode();
    if (other === undefined) {
      return skip('no Node of another major version is here: name one in RTC_OTHER_NODE');
    }
    for (const [name, options] of Object.entries(tiny))
      makeTinyModel(join(folder, name), { ...options, exits: { after: [1] } });
    const models = [...Object.keys(tiny).map((name) => join(folder, name)), ...referenceNames.map(modelFolder)];
    const ways = [
      { form: 'unrolled', lora: 'bake', dialect: 'portable', exitLogits: true, bindings: true },
      { form: 'unrolled', lora: 'bake', dialect: 'ort', precision: 'f16', writeWeights: true },
      { form: 'loop', lora: 'concatenate', dialect: 'ort', writeWeights: true },
      { form: 'loop', lora: 'keep', dialect: 'portable', precision: 'bf16', writeWeights: true },
      { form: 'depth-batched', lora: 'concatenate', dialect: 'ort', precision: 'f16', writeWeights: true },
      { form: 'depth-batched', lora: 'gather', dialect: 'portable', attentionGroups: 2, bindings: true },
    ] as const;
    const jobs = models.flatMap((model, m) =>
      ways.map((way, w): CompileOptions => ({ model, out: join(folder, 'here', `${m}-${w}`), ...way })),
    );
    for (const job of jobs) {
      const result = await compile(job);
      expect(result.diagnostics).toEqual([]);
    }
    const script = `
      import { compile } from ${JSON.stringify(pathToFileURL(join(program, '..', '..', 'dist', 'compiler', 'index.js')))};
      for (const job of ${JSON.stringify(jobs.map((job) => ({ ...job, out: job.out!.replace('here', 'there') })))}) {
        const { ok, diagnostics } = await compile(job);
        if (!ok) throw new Error(JSON.stringify(diagnostics));
      }`;
    await execa(other, ['--input-type=module', '--eval', script]);
    expect(filesBelow(join(folder, 'there'))).toEqual(filesBelow(join(folder, 'here')));
  });
});

/** A Node of another major version than this one; undefined where there is none. */
async function otherNode(): Promise<string | undefined> {
  const own = process.versions.node.split('.')[0];
  const named = process.env.RTC_OTHER_NODE;
  for (const command of named === undefined ? ['node24', 'node20'] : [named]) {
    const { stdout } = await execa(command, ['--version'], { reject: false });
    const major = /^v(\d+)\./.exec(stdout ?? '')?.[1];
    if (major !== undefined && major !== own) return command;
    // What somebody asked for should not be skipped because of a slip of the pen.
    if (named !== undefined) throw new Error(`RTC_OTHER_NODE is "${named}", which is no Node of another major version`);
  }
  return undefined;
}

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { ConvertParts } from '../../../compiler/convert/convert-parts.ts';
import { convertWith } from '../../../compiler/convert/convert-with.ts';
import { countConversion } from '../../../compiler/convert/report/count-conversion.ts';
import { paperModel, printedSize } from '../../../compiler/convert/report/paper-sizes.ts';
import { readModel } from '../../../compiler/read/read-model.ts';
import { invariant } from '../../../ir/invariant.ts';
import { specOf } from '../../support/read-spec.ts';
import { makeTinyModel } from '../../support/tiny-model.ts';
import { exactDecomposer } from '../exact-decomposer.ts';

const scratch = mkdtempSync(join(tmpdir(), 'rtc-counts-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const specFrom = (name: string) =>
  specOf(JSON.parse(readFileSync(join(import.meta.dirname, `${name}.json`), 'utf8')) as object);

/** The sizes of a model whose block runs so often; the paper counts queries, keys and values apart. */
function counted(name: string, loops: number, rank: number) {
  const spec = specFrom(name);
  const fused = spec.names.qkv === undefined ? {} : { [spec.names.qkv]: 1.5 * rank };
  const result = countConversion(spec, { loops, ...(rank > 0 && { lora: { rank: { '*': rank, ...fused } } }) });
  invariant(result.ok, JSON.stringify(result.diagnostics));
  return result.value;
}

describe("the paper's tables: non-embedding parameters in billions, of the whole model and shared by loops", () => {
  const ranks = [0, 64, 128, 256, 512];
  // papers.md 1.3 and 1.4.
  const table = [
    ['gemma-2b', 1.98, 2, ['0.99', '1.07', '1.15', '1.30', '1.60']],
    ['gemma-2b', 1.98, 3, ['0.66', '0.74', '0.82', '0.97', '1.27']],
    ['tinyllama-1.1b', 0.97, 2, ['0.48', '0.53', '0.58', '0.68', '0.86']],
    ['pythia-1b', 0.81, 2, ['0.40', '0.44', '0.48', '0.55', '0.70']],
  ] as const;

  test.each(table)('%s, %d billion, %d loops', (name, full, loops, sizes) => {
    expect(counted(name, loops, 0).originalLayers / 1e9).toBeCloseTo(full, 2);
    expect(ranks.map((rank) => printedSize(counted(name, loops, rank)))).toEqual(sizes);
    const known = paperModel(specFrom(name));
    expect(known?.full).toBe(full.toFixed(2));
    expect(ranks.map((rank) => known?.sizes[loops]?.[rank])).toEqual(sizes);
  });

  test('rounded once, behind the sum, two of them would be 0.01 more than what is printed', () => {
    const once = (name: string, loops: number, rank: number) =>
      (counted(name, loops, rank).convertedLayers / 1e9).toFixed(2);
    const differing = table.flatMap(([name, , loops, sizes]) =>
      ranks.flatMap((rank, i) => (once(name, loops, rank) === sizes[i] ? [] : [[name, rank, once(name, loops, rank)]])),
    );
    expect(differing).toEqual([
      ['tinyllama-1.1b', 128, '0.59'],
      ['tinyllama-1.1b', 256, '0.69'],
    ]);
  });
});

test.each([
  ['gemma-2b', [78.4, 156.9, 313.8, 606.3]],
  ['tinyllama-1.1b', [50.5, 100.9, 201.9, 377.7]],
  ['pythia-1b', [37.7, 75.5, 151.0, 302.0]],
] as const)('factors of %s, in millions, each rank capped at the sizes of its matrix', (name, millions) => {
  const found = [64, 128, 256, 512].map((rank) => Number((counted(name, 2, rank).lora / 1e6).toFixed(1)));
  expect(found).toEqual(millions);
});

test('embeddings and heads are what the paper counts beside them', () => {
  const billions = (name: string) => (counted(name, 2, 0).other / 1e9).toFixed(2);
  expect(['gemma-2b', 'tinyllama-1.1b', 'pythia-1b'].map(billions)).toEqual(['0.52', '0.13', '0.21']);
});

test('a fused projection of the same rank as the others is smaller than three', () => {
  const plain = countConversion(specFrom('pythia-1b'), { loops: 2, lora: { rank: 64 } });
  expect(plain.ok && plain.value.lora).toBe(16 * 64 * (6144 + 2048 + 4096 + 2 * 10240));
});

test('what is counted of a shape is what converting reports, and what the files hold', async () => {
  const parts: ConvertParts = {
    openDecomposer: async () => ({ ok: true, value: exactDecomposer(), diagnostics: [] }),
    allotRanks: () => expect.fail('no budget'),
    openCalibration: () => expect.fail('no calibration'),
    freeBytes: async () => undefined,
  };
  const cases = [
    { tiny: { modelType: 'llama', block: 6, loops: 1 }, options: { loops: 3, lora: { rank: 5 } } },
    {
      tiny: { modelType: 'gpt_neox', block: 4, loops: 1, kvHeads: 4 },
      options: { loops: 2, lora: { rank: { '*': 3, mlp: 100 } }, norms: 'per-depth' },
    },
    {
      tiny: { modelType: 'qwen3', block: 6, loops: 1 },
      options: { loops: 2, sharing: 'middle-sequence', lora: { rank: { depth_1: 4 } } },
    },
  ] as const;
  for (const [i, { tiny, options }] of cases.entries()) {
    const model = join(scratch, `model-${i}`);
    makeTinyModel(model, { ...tiny, dtype: 'bf16' });
    const converted = await convertWith({ ...options, model, out: join(scratch, `out-${i}`) }, parts);
    if (!converted.ok) expect.fail(JSON.stringify(converted.diagnostics));
    const { parameters, source, folder } = converted.value;
    expect(countConversion(source.spec, options)).toEqual({ ok: true, value: parameters, diagnostics: [] });
    const again = await readModel(folder);
    if (!again.ok) expect.fail(JSON.stringify(again.diagnostics));
    const elements = (inLayers: boolean) =>
      [...again.value.tensors.values()]
        .filter(({ name }) => name.startsWith(source.spec.names.layers) === inLayers)
        .reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0);
    expect([elements(true), elements(false)]).toEqual([parameters.convertedLayers, parameters.other]);
  }
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { array, assert, asyncProperty, double, integer, string, tuple } from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import {
  readExportedLayers,
  readExportedOutputs,
  readExportedTimes,
} from '../../../targets/tensorrt/trtexec/read-exports.ts';
import { exportOutput, exportTimes, sixDigits } from '../../support/stand-in-trtexec/reports.ts';

let scratch: string;
let file: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-exports-'));
  file = join(scratch, 'exported.json');
});
afterAll(() => rm(scratch, { recursive: true }));

async function valueIn<T>(reading: Promise<{ ok: boolean; value?: T }>): Promise<T | 'refused'> {
  const result = await reading;
  return result.ok ? result.value! : 'refused';
}

async function outputs(text: string) {
  await writeFile(file, text);
  const read = await valueIn(readExportedOutputs(file));
  return read === 'refused' ? read : read.map(({ name, shape, values }) => [name, shape, [...values]]);
}

test('outputs: several, scalars, empty ones, numbers that JSON has not, names that are not escaped', async () => {
  const text = `[
  { "name" : "logits"
  , "dimensions" : "2x3"
  , "values" : [ 1, -2.5e-06, nan, -nan, inf, -inf ]
  }
, { "name" : "a "quoted" \\n one]{"
  , "dimensions" : ""
  , "values" : [ 9007199254740991 ]
  }
, { "name" : "none"
  , "dimensions" : "0x4"
  , "values" : [  ]
  }
]
`;
  expect(await outputs(text)).toEqual([
    ['logits', [2, 3], [1, -2.5e-6, Number.NaN, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
    ['a "quoted" \\n one]{', [], [9007199254740991]],
    ['none', [0, 4], []],
  ]);
  expect(await outputs(text.replace('2x3', '(2, 3)'))).toEqual(await outputs(text));
  expect(await outputs('[\n]\n')).toEqual([]);
});

test('outputs that are cut off anywhere, or of another form, are refused', async () => {
  const text = '[\n  { "name" : "y"\n  , "dimensions" : "2x2"\n  , "values" : [ 1, 2.5, -3, 40 ]\n  }\n]\n';
  expect(await outputs(text)).toEqual([['y', [2, 2], [1, 2.5, -3, 40]]]);
  for (let end = 0; end < text.lastIndexOf(']'); end++)
    expect(await outputs(text.slice(0, end)), `${end}`).toBe('refused');
  for (const other of [
    'null',
    '{}',
    '[1]',
    '[{}]',
    text.replace('2x2', '2x3'),
    text.replace('2.5', '2.5.5'),
    text.replace('2.5', 'x'),
  ]) {
    expect(await outputs(other), other).toBe('refused');
  }
});

test('whatever the stand-in exports comes back with six digits', async () => {
  const name = string({ minLength: 1, unit: 'grapheme-ascii' });
  const number = double().map((x) => Math.fround(x));
  await assert(
    asyncProperty(array(tuple(name, array(number), integer({ min: 0, max: 1 })), { maxLength: 4 }), async (entries) => {
      const tensors = new Map<string, Tensor>(
        entries.map(([key, data, lead]) => [
          key,
          makeTensor('f32', lead === 0 ? [data.length] : [1, data.length], data),
        ]),
      );
      exportOutput(file, tensors);
      const read = await readExportedOutputs(file);
      expect(read.ok && read.value.map(({ name: key, shape }) => [key, shape])).toEqual(
        [...tensors].map(([key, { shape }]) => [key, shape]),
      );
      if (!read.ok) return;
      for (const { name: key, values } of read.value) {
        const { data } = tensors.get(key)!;
        for (const [i, x] of data.entries()) {
          if (Number.isFinite(x)) expect(Math.abs(values[i]! - x)).toBeLessThanOrEqual(Math.abs(x) * 5.001e-6);
          else expect(values[i]).toBe(x);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('sixDigits prints as C++ does', () => {
  const cases = [0, -0, 1, -1.5, 123456, 1234567, 0.0001, 0.00001234567, 2.5, 1e38, 100000.4, 999999.5];
  expect(cases.map(sixDigits)).toEqual([
    '0',
    '-0',
    '1',
    '-1.5',
    '123456',
    '1.23457e+06',
    '0.0001',
    '1.23457e-05',
    '2.5',
    '1e+38',
    '100000',
    '1e+06',
  ]);
});

test('times: what each execution took, and nothing else', async () => {
  exportTimes(file, [1.5, 0.25]);
  expect(await valueIn(readExportedTimes(file))).toEqual([
    { h2dMs: 0, computeMs: 1.5, d2hMs: 0, latencyMs: 1.5 },
    { h2dMs: 0, computeMs: 0.25, d2hMs: 0, latencyMs: 0.25 },
  ]);
  for (const text of [
    '',
    '[]',
    '{}',
    '[{"computeMs": 1}]',
    '[{"h2dMs":0,"computeMs":-1,"d2hMs":0,"latencyMs":0}]',
    '[ { "h2dMs" : 0, "comp',
  ]) {
    await writeFile(file, text);
    expect(await valueIn(readExportedTimes(file)), text).toBe('refused');
  }
});

test('layers: names alone, or types and formats', async () => {
  const layer = {
    Name: '{ForeignNode[/block/a.../block/b]}',
    LayerType: 'kgen',
    Outputs: [{ Name: 'y', Dimensions: [1], 'Format/Datatype': 'Half' }],
  };
  await writeFile(file, JSON.stringify({ Layers: ['only a name', layer], Bindings: ['y'] }));
  expect(await valueIn(readExportedLayers(file))).toEqual([
    { name: 'only a name', type: undefined, formats: [] },
    { name: layer.Name, type: 'kgen', formats: ['Half'] },
  ]);
  await writeFile(file, '[]');
  expect(await valueIn(readExportedLayers(file))).toBe('refused');
});

test('a file that is not there is told as a failure of trtexec', async () => {
  const result = await readExportedTimes(join(scratch, 'nothing.json'));
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'trtexec-failed' }] });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildGraph } from '../../compiler/architectures/build-graph.ts';
import { embedTokens } from '../../compiler/convert/calibrate/embed-tokens.ts';
import { layerGraph } from '../../compiler/convert/calibrate/layer-graph.ts';
import { openCalibration } from '../../compiler/convert/calibrate/open-calibration.ts';
import { runLayer } from '../../compiler/convert/calibrate/run-layer.ts';
import { textWindows } from '../../compiler/convert/calibrate/text-windows.ts';
import { convert } from '../../compiler/convert/convert.ts';
import { evaluateText } from '../../compiler/convert/evaluate/evaluate-text.ts';
import { linearModules } from '../../compiler/read/expected-tensors.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import type { Result } from '../../files/diagnostics.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { exactDecomposer } from './exact-decomposer.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-calibrate-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

function valueFrom<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(JSON.stringify(result.diagnostics));
  return result.value;
}

let models = 0;
async function tinyModel(options: Partial<TinyModelOptions>): Promise<SourceModel> {
  const folder = join(scratch, `model-${models++}`);
  makeTinyModel(folder, { block: 3, loops: 1, modelJson: false, ...options });
  return valueFrom(await readModel(folder));
}

/** E[x xᵀ] of what each linear module reads, by `layer module`, by the interpreter, in float64, of the whole model. */
async function interpretedMoments(model: SourceModel, tokens: Int32Array, count: number, length: number) {
  const graph = buildGraph(model);
  const linears = graph.ops.filter((op) => op.kind === 'linear' && op.scope.includes('layer.'));
  const outputs = linears.map((op) => ({ name: op.scope, value: op.operands[0]! }));
  const i64 = (values: readonly number[]) => makeTensor('i64', [count, length], Float64Array.from(values));
  const caches = graph.inputs.filter(({ type }) => type.dtype === 'f32');
  const inputs = new Map(
    caches.map(({ name, type }) => [name, makeTensor('f32', type.dims.map(sizeOf), new Float64Array())]),
  );
  inputs.set('input_ids', i64([...tokens]));
  inputs.set('attention_mask', i64([...tokens].map(() => 1)));
  inputs.set('position_ids', i64([...tokens].map((_, i) => i % length)));
  const results = await interpret({ ...graph, outputs }, inputs, {
    readWeight: ({ file, dtype, dims, offset, length: bytes }) =>
      makeTensor(dtype, dims, decodeTensor(dtype, readTensorSync(join(model.folder, file), { offset, length: bytes }))),
  });
  const moments = new Map<string, Float64Array>();
  for (const [scope, { data, shape }] of results) {
    const [, layer, path] = /layer\.(\d+)\/(.*)$/.exec(scope)!;
    const size = shape.at(-1)!;
    const moment = new Float64Array(size * size);
    for (let t = 0; t < count * length; t++) {
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < size; j++) {
          moment[i * size + j]! += (data[t * size + i]! * data[t * size + j]!) / (count * length);
        }
      }
    }
    moments.set(`${layer} ${path!.replaceAll('/', '.')}`, moment);
  }
  return moments;

  function sizeOf(dim: number | string): number {
    return typeof dim === 'number' ? dim : dim === 'past' ? 0 : dim === 'batch' ? count : length;
  }
}

describe('moments are those of the interpreter', () => {
  test.each<[string, Partial<TinyModelOptions>]>([
    ['llama in bf16', { dtype: 'bf16' }],
    ['gemma, whose embedding is scaled and whose norms add one', { modelType: 'gemma' }],
    ['qwen3 with windows in some layers', { modelType: 'qwen3', slidingWindow: 5, windowed: [true, false] }],
    ['gpt_neox in f16', { modelType: 'gpt_neox', dtype: 'f16', heads: 4, kvHeads: 4 }],
  ])('%s', async (_, options) => {
    const model = await tinyModel(options);
    const [count, length] = [150, 12];
    const tokens = Int32Array.from({ length: count * length }, (__, i) => (i * i * 7 + i * 3) % model.spec.vocabSize);
    const expected = await interpretedMoments(model, tokens, count, length);
    const source = buildGraph(model);
    const hidden = await embedTokens(model, tokens);
    const seen = new Set<string>();
    for (let layer = 0; layer < model.spec.storedLayers; layer++) {
      const wideFrom = 33;
      const graph = layerGraph(model, source, layer, { widest: wideFrom, besides: 'moments' });
      for (const { modules, moment, size, wide } of valueFrom(
        await runLayer(model, graph, { count, length, tokens }, hidden, {}),
      )) {
        expect(wide).toBe(size > wideFrom);
        for (const module of modules) {
          seen.add(`${layer} ${module}`);
          const wanted = expected.get(`${layer} ${module}`)!;
          const entries = wide ? wanted.filter((__, k) => k % (size + 1) === 0) : wanted;
          const scale = Math.max(...wanted);
          expect(moment.length).toBe(entries.length);
          moment.forEach((value, k) => {
            expect(Math.abs(value - entries[k]!)).toBeLessThan(1e-5 * scale);
          });
        }
      }
    }
    const modules = linearModules(model.spec).length;
    expect(seen.size).toBe(modules * model.spec.storedLayers);
  });
});

describe('a text that cannot be used', () => {
  const most = { length: 4, most: 2, vocabulary: 10 };
  test('is too short', () => {
    const cut = textWindows([1, 2, 3], most, { file: 'short.txt' });
    expect(cut.ok ? [] : cut.diagnostics.map(({ code }) => code)).toEqual(['short-text']);
  });

  test('has tokens that the model has not', () => {
    const cut = textWindows([1, 2, 3, 10], most, { file: 'other.txt' });
    expect(cut.ok ? [] : cut.diagnostics.map(({ message }) => message)).toEqual([
      'The tokenizer makes token 10 of this text, and the model has 10.',
    ]);
  });

  test('a longer one is read in places from all of it', () => {
    const cut = valueFrom(
      textWindows(
        [...Array(43).keys()].map((i) => i % 43),
        { ...most, vocabulary: 50 },
        { file: '' },
      ),
    );
    expect([...cut.tokens]).toEqual([0, 1, 2, 3, 20, 21, 22, 23]);
  });

  test('no file, no tokenizer', async () => {
    const open = async (model: SourceModel, text: string) => {
      const options = { decomposing: exactDecomposer(), folder: join(scratch, 'roots'), hashes: new Map() };
      const opened = await openCalibration(model, text, options);
      return opened.ok ? [] : opened.diagnostics.map(({ code }) => code);
    };
    const teacher = valueFrom(await readModel(join(root, 'test', 'models', 'kjv-teacher')));
    expect(await open(teacher, join(scratch, 'nothing.txt'))).toEqual(['missing-file']);
    expect(await open(await tinyModel({}), join(scratch, 'nothing.txt'))).toEqual(['missing-tokenizer']);
  });
});

const root = join(import.meta.dirname, '..', '..');

test('a budget beats equal ranks by far, with a text and without one', async () => {
  const model = join(root, 'test', 'models', 'kjv-teacher');
  const whole = readFileSync(join(root, 'examples', 'kjv-heldout.txt'), 'utf8');
  const half = whole.indexOf('\n', whole.length / 2) + 1;
  const [calibration, heldOut] = [join(scratch, 'first-half.txt'), join(scratch, 'second-half.txt')];
  writeFileSync(calibration, whole.slice(0, half));
  writeFileSync(heldOut, whole.slice(half));
  const nlls: Record<string, number> = {};
  let most = 0;
  let original = 0;
  for (const [name, lora] of [
    ['equal', () => ({ rank: 16 })],
    ['budget', () => ({ parameters: (most + 0.5) / original })],
    ['budget, calibrated', () => ({ parameters: (most + 0.5) / original, calibration })],
  ] as const) {
    const out = join(scratch, name.replace(', ', '-'));
    const { parameters } = valueFrom(await convert({ model, loops: 2, lora: lora(), out }));
    most ||= parameters.convertedLayers;
    original = parameters.originalLayers;
    expect(parameters.convertedLayers).toBeLessThanOrEqual(most);
    expect(parameters.convertedLayers).toBeGreaterThan(most - 1000);
    nlls[name] = valueFrom(await evaluateText([out], heldOut, { windows: 12 }))[0]!.nll;
  }
  expect(nlls.budget).toBeLessThan(nlls.equal! - 0.3);
  expect(nlls['budget, calibrated']).toBeLessThan(nlls.equal! - 0.3);
  if (process.env.RTC_KJV_ALL === '1') console.log(nlls);
}, 240_000);

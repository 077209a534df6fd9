import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildGraph } from '../../../compiler/architectures/build-graph.ts';
import { compile } from '../../../compiler/compile.ts';
import type { ConvertOptions } from '../../../compiler/convert/convert-options.ts';
import { cutLora } from '../../../compiler/convert/evaluate/cut-lora.ts';
import { evaluateConversion } from '../../../compiler/convert/evaluate/evaluate-conversion.ts';
import { evaluateText, scoreModel } from '../../../compiler/convert/evaluate/evaluate-text.ts';
import { readEvaluationText } from '../../../compiler/convert/evaluate/evaluation-text.ts';
import { scoreWindows } from '../../../compiler/convert/evaluate/score-windows.ts';
import { readModel } from '../../../compiler/read/read-model.ts';
import type { SourceModel } from '../../../compiler/read/source-model.ts';
import { openDecomposer } from '../../../convert/decompose/decomposer.ts';
import type { Result } from '../../../files/diagnostics.ts';
import type { PackageManifest } from '../../../files/manifest.ts';
import { readTensorSync } from '../../../files/read-tensor.ts';
import { interpret } from '../../../ir/interpret/interpret.ts';
import { makeTensor } from '../../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../../ir/tensor-bytes.ts';
import type { FileWeight } from '../../../ir/weights.ts';
import { randomStream } from '../../support/random.ts';
import { promptInputs } from '../../support/reference-model.ts';
import { makeTinyModel } from '../../support/tiny-model.ts';
import { converted, exactParts } from '../convert-parts.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const teacher = join(root, 'test', 'models', 'kjv-teacher');
const heldout = join(root, 'examples', 'kjv-heldout.txt');
const scratch = mkdtempSync(join(tmpdir(), 'rtc-evaluate-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(JSON.stringify(result.diagnostics));
  return result.value;
}

const codes = (result: Result<unknown>) => (result.ok ? [] : result.diagnostics.map(({ code }) => code));

function randomWindows(seed: string, count: number, length: number, vocabulary: number) {
  const next = randomStream(seed);
  return Array.from({ length: count }, () => Array.from({ length }, () => Math.floor(next() * vocabulary)));
}

/** Mean negative log-likelihood by the interpreter, in float64. */
async function interpretedNll(model: SourceModel, windows: readonly (readonly number[])[]): Promise<number> {
  const graph = buildGraph(model);
  const length = windows[0]!.length;
  const ids = makeTensor('i64', [windows.length, length], Float64Array.from(windows.flat()));
  const readWeight = ({ file, dtype, dims, ...range }: FileWeight) =>
    makeTensor(dtype, dims, decodeTensor(dtype, readTensorSync(join(model.folder, file), range)));
  const { data, shape } = (await interpret(graph, promptInputs(graph, ids), { readWeight })).get('logits')!;
  const vocabulary = shape[2]!;
  let sum = 0;
  windows.forEach((window, w) => {
    for (let t = 0; t + 1 < length; t++) {
      const logits = data.subarray((w * length + t) * vocabulary, (w * length + t + 1) * vocabulary);
      sum += Math.log(logits.reduce((total, x) => total + Math.exp(x), 0)) - logits[window[t + 1]!]!;
    }
  });
  return sum / (windows.length * (length - 1));
}

describe('what ONNX Runtime says is what the interpreter computes in float64', () => {
  test.each([
    { name: 'llama, factors in float32', model: { ranks: [3, 5] } },
    {
      name: 'gpt_neox in bfloat16, one depth without factors',
      model: { modelType: 'gpt_neox', kvHeads: 4, ranks: [0, 2], dtype: 'bf16' },
    },
    {
      name: 'qwen3 with a sliding window, prelude and coda',
      model: { modelType: 'qwen3', prelude: 1, coda: 1, slidingWindow: 4 },
    },
  ] as const)('$name', async ({ name, model: options }) => {
    const folder = join(scratch, name.replaceAll(/\W/g, '-'));
    makeTinyModel(folder, options);
    const model = value(await readModel(folder));
    const windows = randomWindows(name, 5, 11, model.spec.vocabSize);
    const score = value(await scoreModel(model, { name: 'made', windows }, { scratch }));
    const exact = await interpretedNll(model, windows);
    expect(Math.abs(score.nll / exact - 1)).toBeLessThan(1e-5);
    expect(score).toMatchObject({ tokens: 50, perplexity: Math.exp(score.nll) });
  });
});

test('factors that are cut are those of a conversion at that rank, to the byte', async () => {
  const model = join(scratch, 'to-cut');
  makeTinyModel(model, { block: 4, loops: 1, dtype: 'bf16' });
  const at = async (name: string, lora: NonNullable<ConvertOptions['lora']>) => {
    const result = await converted({ model, loops: 2, lora, out: join(scratch, name) });
    return { result, model: value(await readModel(result.folder)) };
  };
  // The loss depends on rounding, the factors do not: kept ones stay what they are.
  const high = await at('high', { rank: { '*': 12, 'depth_1/mlp': 2 } });
  const low = await at('low', { rank: { '*': 5, 'depth_1/mlp': 2 } });
  const cut = value(await cutLora(high.model, 5, join(scratch, 'cut')));
  expect(cut.lora).toBe(low.result.parameters.lora);
  expect([...cut.model.tensors.keys()].sort()).toEqual([...low.model.tensors.keys()].sort());
  for (const [name, tensor] of low.model.tensors) {
    const other = cut.model.tensors.get(name)!;
    expect([name, other.shape]).toEqual([name, tensor.shape]);
    expect(readTensorSync(other.file.absolutePath, other)).toEqual(readTensorSync(tensor.file.absolutePath, tensor));
  }
  const none = value(await cutLora(high.model, 0, join(scratch, 'none')));
  expect([none.lora, none.model.lora]).toEqual([0, undefined]);
  expect([...none.model.tensors.keys()].filter((name) => name.includes('lora'))).toEqual([]);
});

test('kjv-teacher by three loops: the original, rank 16, and rank 4 of the same factors', async () => {
  const rows = JSON.parse(readFileSync(join(root, 'test/convert/kjv-convert.json'), 'utf8')) as readonly {
    readonly [key in 'loops' | 'rank' | 'nll' | 'block_parameters']: number;
  }[];
  const row = (rank: number) =>
    rows.find((each) => each.loops === 3 && Reflect.get(each, 'init') === 'lower' && each.rank === rank)!;
  const parts = exactParts({ openDecomposer });
  const options = { model: teacher, out: join(scratch, 'kjv'), loops: 3, init: 'lower', lora: { rank: 16 } } as const;
  const result = await converted(options, parts);
  const text = value(await readEvaluationText(result.source, heldout));
  const steps = new Set<string>();
  const done = value(
    await evaluateConversion(result, text, { ranks: [4, 16], scratch, onProgress: ({ step }) => steps.add(step) }),
  );
  // transformers 5.24, float64.
  expect(Math.abs(done.original.nll - 3.161489525689655)).toBeLessThan(1e-4);
  expect(Math.abs(done.converted.nll - row(16).nll)).toBeLessThan(0.002);
  const [four, sixteen] = done.ranks;
  expect(Math.abs(four!.nll - row(4).nll)).toBeLessThan(0.002);
  expect(four!.convertedLayers).toBe(row(4).block_parameters);
  expect(sixteen).toEqual({ rank: 16, convertedLayers: row(16).block_parameters, ...done.converted });
  expect(done).toMatchObject({ text: 'kjv-heldout.txt', windows: 64, window: 129, original: { tokens: 8192 } });
  expect([...steps]).toEqual(['evaluate the original', 'evaluate the converted model', 'evaluate rank 4']);
  expect(readdirSync(scratch).filter((name) => name.startsWith('.rtc'))).toEqual([]);
});

test('a package of the form unrolled runs as it is, any other as the model that it holds', async () => {
  const windows = { windows: 2, window: 9, scratch };
  const unrolled = join(scratch, 'unrolled');
  const batched = join(scratch, 'batched');
  value(await compile({ model: teacher, form: 'unrolled', out: unrolled, precision: 'f16', writeWeights: true }));
  value(await compile({ model: teacher, form: 'depth-batched', out: batched }));
  const [model, f16, f32] = value(await evaluateText([teacher, unrolled, batched], heldout, windows));
  expect(f32).toEqual(model);
  // In 16 bits it is another number, which shows that it was the package's own graph.
  expect(f16!.nll).not.toBe(model!.nll);
  expect(Math.abs(f16!.nll - model!.nll)).toBeLessThan(0.02);
});

describe('batches', () => {
  /** A model that knows: the next token is this one plus one. */
  function fake(vocabulary: number) {
    const batches: (readonly number[])[] = [];
    const session: Parameters<typeof scoreWindows>[0] = {
      run: async ({ input_ids: ids }) => {
        const [rows, length] = ids!.dims as [number, number];
        batches.push([rows, length]);
        const data = new Float32Array(rows * length * vocabulary);
        (ids!.data as BigInt64Array).forEach((id, i) => {
          data[i * vocabulary + Number(id) + 1] = 1000;
        });
        return { logits: { type: 'f32', dims: [rows, length, vocabulary], data } };
      },
    };
    return { session, batches };
  }
  const manifest = { graphs: { 'model.onnx': { inputs: [], outputs: [] } } } as unknown as PackageManifest;

  test('logits of a large vocabulary are there for one window at a time', async () => {
    const windows = Array.from({ length: 3 }, () => Array.from({ length: 65 }, (_, i) => i));
    const { session, batches } = fake(300_000);
    const score = await scoreWindows(session, manifest, windows, { vocabulary: 300_000 });
    expect(batches).toEqual([
      [1, 64],
      [1, 64],
      [1, 64],
    ]);
    // Sure of itself, and right; e to 1000 is no number.
    expect(score).toEqual({ nll: 0, perplexity: 1, tokens: 192 });
  });

  test('those of a small one for several, and the last may be smaller', async () => {
    const windows = Array.from({ length: 20 }, () => [1, 2, 3]);
    const { session, batches } = fake(8);
    await scoreWindows(session, manifest, windows, { vocabulary: 8 });
    expect(batches).toEqual([
      [16, 2],
      [4, 2],
    ]);
  });

  test('who aborts waits for one batch', async () => {
    const abort = new AbortController();
    const { session, batches } = fake(8);
    const windows = Array.from({ length: 40 }, () => [1, 2, 3]);
    const onWindows = (done: number) => done === 16 && abort.abort();
    const scored = scoreWindows(session, manifest, windows, {
      vocabulary: 8,
      signal: abort.signal,
      onWindows: (done) => void onWindows(done),
    });
    await expect(scored).rejects.toThrow();
    expect(batches).toHaveLength(2);
  });
});

describe('texts', () => {
  const file = (name: string, content: string) => {
    writeFileSync(join(scratch, name), content);
    return join(scratch, name);
  };

  test('are cut into windows, as many as are asked for and there are', async () => {
    const model = value(await readModel(teacher));
    const all = value(await readEvaluationText(model, heldout, { windows: 1000 }));
    expect(all.windows.every(({ length }) => length === 129)).toBe(true);
    const some = value(await readEvaluationText(model, heldout, { windows: 3 }));
    expect(some.windows).toEqual(all.windows.slice(0, 3));
    const short = value(await readEvaluationText(model, file('short.txt', 'In the beginning God')));
    expect(short.windows).toHaveLength(1);
    expect(short.windows[0]!.length).toBeLessThan(10);
  });

  test('that cannot be read are told before there is work', async () => {
    const model = value(await readModel(teacher));
    const { spec } = model;
    const silent = join(scratch, 'silent');
    makeTinyModel(silent);
    const small = { folder: model.folder, spec: { ...spec, vocabSize: 100 } };
    const cases = [
      [await readEvaluationText(model, join(scratch, 'nowhere.txt')), 'missing-file'],
      [await readEvaluationText(model, file('empty.txt', '')), 'short-text'],
      [await readEvaluationText(model, heldout, { window: 514 }), 'too-long'],
      [await readEvaluationText(model, heldout, { window: 1.5 }), 'invalid-option'],
      [await readEvaluationText(model, heldout, { windows: 0 }), 'invalid-option'],
      [await readEvaluationText(value(await readModel(silent)), heldout), 'no-tokenizer'],
      [await readEvaluationText(small, heldout), 'unknown-token'],
    ] as const;
    expect(cases.map(([result]) => codes(result))).toEqual(cases.map(([, code]) => [code]));
    expect(value(await readEvaluationText(model, heldout, { window: 513 })).windows[0]).toHaveLength(513);
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildGraph } from '../../compiler/architectures/build-graph.ts';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { type Call, type Decoder, plainCall, startRun } from '../../compiler/verify/call.ts';
import { openOnnxRuntime } from '../../compiler/verify/onnx-runtime-decoder.ts';
import { sourceDecoders } from '../../compiler/verify/source-decoder.ts';
import { stepDecoder } from '../../compiler/verify/step-decoder.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import type { Result } from '../../files/diagnostics.ts';
import { formatDiagnostics } from '../../files/format-diagnostics.ts';
import { mainGraph, readPackage } from '../../files/package.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { generate } from '../../runtime/generate.ts';
import { loadPackage } from '../../runtime/load-package.ts';
import { expectClose } from '../support/expect-close.ts';
import { spelledOut } from '../support/spelled-out.ts';
import { makeTinyModel, type TinyModelOptions, tinyDefaults, writeTinyModel } from '../support/tiny-model.ts';

/**
 * Models whose layers run in orders of all kinds, compiled in every form and dialect, against an ordinary checkpoint in
 * which each layer that runs is stored: the same numbers, from a judge that knows neither loops nor orders.
 */
interface Case {
  readonly title: string;
  readonly options: Partial<TinyModelOptions>;
  /** Stored layers as they run, written down by hand. */
  readonly order: readonly number[];
  /** With `max_loops` 1, where there are loops. */
  readonly oneLoop?: readonly number[];
  /** ONNX Loops in the form loop. */
  readonly loops: number;
}

const cases: readonly Case[] = [
  {
    title: 'sequence: each layer of the block three times in a row, ranks and norms by depth',
    options: { block: 2, loops: 3, order: 'sequence', ranks: [2, 0, 1], alpha: 4, norms: 'per-depth' },
    order: [0, 0, 0, 1, 1, 1],
    loops: 2,
  },
  {
    title: 'middle-sequence, layer norms with biases by depth',
    options: {
      ...{ modelType: 'gpt_neox', kvHeads: 4, norms: 'per-depth' },
      ...{ prelude: 1, block: 2, loops: 2, coda: 1, order: 'sequence', ranks: [1, 2] },
    },
    order: [0, 1, 1, 2, 2, 3],
    loops: 2,
  },
  {
    title: 'a list without any block, windows per stored layer, norms of queries and keys by depth',
    options: {
      ...{ modelType: 'qwen3', norms: 'per-depth', ranks: [1, 2], slidingWindow: 3, windowed: [true, false, false] },
      layers: [0, 1, 0, 2, 1],
    },
    order: [0, 1, 0, 2, 1],
    loops: 0,
  },
  {
    title: 'a list that repeats a block, which runs one layer twice, with exits',
    options: { layers: [2, 0, 0, 1, 0, 0, 1, 3], ranks: [1, 2, 1, 3], norms: 'per-depth', exits: { after: [1] } },
    order: [2, 0, 0, 1, 0, 0, 1, 3],
    oneLoop: [2, 0, 0, 1, 3],
    loops: 1,
  },
  {
    title: 'middle-cycle, norms by depth that add one',
    options: {
      ...{ modelType: 'gemma', norms: 'per-depth', exits: { after: [1] }, ranks: [0, 2] },
      ...{ prelude: 1, block: 2, loops: 2, coda: 1 },
    },
    order: [0, 1, 2, 1, 2, 3],
    oneLoop: [0, 1, 2, 3],
    loops: 1,
  },
];

const ways: readonly Pick<CompileOptions, 'form' | 'dialect' | 'target'>[] = [
  { form: 'unrolled', dialect: 'portable' },
  { form: 'unrolled', dialect: 'ort' },
  { form: 'unrolled', target: 'tensorrt' },
  { form: 'loop', dialect: 'portable' },
  { form: 'loop', dialect: 'ort' },
  { form: 'depth-batched', dialect: 'portable' },
  { form: 'depth-batched', dialect: 'ort' },
  { form: 'depth-batched', target: 'tensorrt' },
];

/** Rows of different lengths, padded on the left; then one token for each. */
const calls: readonly Call[] = [
  {
    batch: 2,
    sequence: 4,
    ids: Float64Array.of(5, 9, 3, 31, 0, 0, 17, 4),
    attended: Float64Array.of(1, 1, 1, 1, 0, 0, 1, 1),
  },
  { batch: 2, sequence: 2, ids: Float64Array.of(8, 2, 12, 40), attended: Float64Array.of(1, 1, 1, 1) },
];

let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-orders-'));
});
afterAll(() => rmSync(root, { recursive: true }));

describe.each(cases)('$title', ({ options, order, oneLoop, loops }) => {
  let folder = '';
  let model: SourceModel;
  /** Logits by call of the ordinary checkpoint: of all loops, and of one. */
  let expected: readonly Tensor[];
  let afterOne: readonly Tensor[] | undefined;
  let ordinary: Decoder;
  beforeAll(async () => {
    folder = mkdtempSync(join(root, 'case-'));
    const tiny = makeTinyModel(join(folder, 'model'), options);
    model = value(await readModel(join(folder, 'model')));
    const judge = async (name: string, stored: readonly number[]) => {
      writeTinyModel(join(folder, name), spelledOut(tiny, stored), { ...tinyDefaults, modelJson: false });
      const found = value(await readModel(join(folder, name)));
      expect(found.recursion).toEqual({ prelude: 0, block: stored.length, loops: 1, coda: 0 });
      return sourceDecoders(found).after(1);
    };
    ordinary = await judge('ordinary', order);
    expected = await logitsOf(ordinary);
    afterOne = oneLoop && (await logitsOf(await judge('one-loop', oneLoop)));
  });

  test('the source graph is the ordinary model', async () => {
    expect(buildGraph(model).inputs.filter(({ name }) => name.endsWith('.key'))).toHaveLength(order.length);
    // The ordinary checkpoint has its factors multiplied out and rounded to float32.
    compare(await logitsOf(sourceDecoders(model).after(model.recursion.loops)), expected, 1e-5, 'source graph');
  });

  test.each(ways.map((way) => ({ way, title: Object.values(way).join(', ') })))('$title', async ({ way }) => {
    const out = join(folder, `${way.form}-${way.dialect ?? way.target}`);
    const made = await compile({ model: join(folder, 'model'), out, ...way });
    expect(made.diagnostics.filter(({ severity }) => severity !== 'note')).toEqual([]);
    const { manifest } = value(await readPackage(out));
    const { prelude, block, loops: times, coda } = manifest.recursion;
    expect(prelude + block * times + coda).toBe(order.length);
    const { file, inputs } = mainGraph(manifest);
    const opened = value(await openOnnxRuntime(join(out, file), inputs, { threads: 1 }));
    const decoder = way.form === 'depth-batched' ? stepDecoder(opened, manifest) : opened;
    try {
      compare(await logitsOf(decoder, times), expected, 1e-4, 'package');
      // A cut through the loops of a model with a coda leaves other entries in the coda, so only a prompt is the same.
      if (afterOne && way.form !== 'unrolled') compare(await logitsOf(decoder, 1, 1), afterOne, 1e-4, 'one loop');
    } finally {
      await opened.close();
    }
    if (way.dialect !== 'portable' || (way.form === 'unrolled' && loops !== 1)) return;
    const verified = value(await verifyPackage(out));
    expect(verified.document.ok, JSON.stringify(verified.document)).toBe(true);
    if (way.form === 'loop') expect(await loopNodes(out)).toBe(loops);
    if (way.form !== 'depth-batched') return;
    const prompts = [[5, 9, 3], [7], [12, 40, 2, 8, 33]];
    expect(await generated(out, prompts)).toEqual(
      await Promise.all(prompts.map((prompt) => likeliest(ordinary, prompt))),
    );
  });
});

test('a step runs an ordinary model with prelude and coda as one block, and the package reads and verifies', async () => {
  const folder = join(root, 'once');
  makeTinyModel(join(folder, 'model'), { prelude: 1, block: 2, loops: 1, coda: 1 });
  const out = join(folder, 'package');
  value(await compile({ model: join(folder, 'model'), form: 'depth-batched', out }));
  expect(value(await readPackage(out)).manifest.recursion).toEqual({ prelude: 0, block: 4, loops: 1, coda: 0 });
  expect(value(await verifyPackage(out)).document.ok).toBe(true);
  // The model it came from, named by hand, is that model, too; another one is not.
  expect(value(await verifyPackage(out, { model: join(folder, 'model') })).document.ok).toBe(true);
  makeTinyModel(join(folder, 'other'), { layers: [0, 1, 0, 2], seed: 1 });
  const other = await verifyPackage(out, { model: join(folder, 'other') });
  expect(other.diagnostics).toMatchObject([{ code: 'wrong-model', message: expect.stringContaining('[0, 1, 0, 2]') }]);
});

/** Logits of each call, of the first `count`; zeros where there is padding. */
async function logitsOf(decoder: Decoder, loops = 1, count = calls.length): Promise<readonly Tensor[]> {
  const takes = new Set(decoder.inputs.map(({ name }) => name));
  const settings = new Map([
    ['max_loops', makeTensor('i64', [], [loops])],
    ['exit_threshold', makeTensor('f32', [], [1])],
  ]);
  const run = startRun(decoder, new Map([...settings].filter(([name]) => takes.has(name))));
  const found: Tensor[] = [];
  for (const call of calls.slice(0, count)) {
    const { dtype, shape, data } = (await run.step(call)).get('logits')!;
    const width = shape[2]!;
    found.push(
      makeTensor(
        dtype,
        shape,
        data.map((x, i) => (call.attended[Math.floor(i / width)] === 1 ? x : 0)),
      ),
    );
  }
  return found;
}

function compare(found: readonly Tensor[], expected: readonly Tensor[], tolerance: number, what: string): void {
  for (const [i, logits] of found.entries()) expectClose(logits, expected[i]!, tolerance, `${what}, call ${i + 1}`);
}

/** What the runtime generates for all prompts at once. */
async function generated(
  folder: string,
  prompts: readonly (readonly number[])[],
): Promise<readonly (readonly number[])[]> {
  const loaded = value(await loadPackage(folder, { threads: 1 }));
  try {
    const stream = value(generate(loaded, prompts, { maxNewTokens: 5, ignoreEos: true }));
    for (let next = await stream.next(); ; next = await stream.next()) {
      if (next.done) return next.value.sequences.map(({ tokens }) => tokens);
    }
  } finally {
    await loaded.close();
  }
}

/** The likeliest tokens behind a prompt, one by one. */
async function likeliest(decoder: Decoder, prompt: readonly number[]): Promise<readonly number[]> {
  const run = startRun(decoder);
  const tokens: number[] = [];
  for (let given = prompt; tokens.length < 5; given = tokens.slice(-1)) {
    const logits = (await run.step(plainCall([given]))).get('logits')!;
    const row = [...logits.data.subarray(-logits.shape[2]!)];
    tokens.push(row.indexOf(Math.max(...row)));
  }
  return tokens;
}

async function loopNodes(folder: string): Promise<number> {
  const { inspect } = await import('../../compiler/inspect/inspect.ts');
  const found = value(await inspect(join(folder, 'model.onnx'), {}));
  if (found.kind !== 'onnx') throw new Error(found.kind);
  return found.operators.find(({ operator }) => operator === 'Loop')?.count ?? 0;
}

function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(formatDiagnostics(result.diagnostics));
  return result.value;
}

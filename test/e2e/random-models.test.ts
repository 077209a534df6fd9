import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { expectExitsLikeReference } from '../support/exits.ts';
import { padBatch } from '../support/loop-form.ts';
import { loopReference, type SequenceCache } from '../support/loop-reference.ts';
import { randomStream } from '../support/random.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { tinyModelOptions } from '../support/tiny-model-options.ts';
import { cacheCounterparts, expectRowsAlone } from './expect-rows.ts';
import { compiled, type OpenPackage, openPackage } from './open-package.ts';
import { sourceJudges } from './source-judge.ts';

/**
 * Random small models, compiled and run in ONNX Runtime, against the source graph in the interpreter. The same models
 * every time; `RTC_RANDOM_SEED` draws others, and `RTC_RANDOM_MODELS` another number of them. The title of a test says
 * how to repeat it alone.
 */
const seed = Number(process.env.RTC_RANDOM_SEED ?? 2026);
const count = Number(process.env.RTC_RANDOM_MODELS ?? 240);

type Variant = Required<Pick<CompileOptions, 'form' | 'lora' | 'dialect'>>;

const variants: readonly Variant[] = (
  [
    ['unrolled', 'auto'],
    ['unrolled', 'bake'],
    ['unrolled', 'keep'],
    ['unrolled', 'concatenate'],
    ['loop', 'auto'],
    ['loop', 'keep'],
    ['loop', 'concatenate'],
  ] as const
).flatMap(([form, lora]) => (['portable', 'ort'] as const).map((dialect) => ({ form, lora, dialect })));

interface Drawn extends Variant {
  readonly index: number;
  readonly options: TinyModelOptions;
  readonly writeWeights: boolean;
}

const drawn = fc.sample(tinyModelOptions(), { seed, numRuns: count }).map((options, index): Drawn => {
  const variant = variants[index % variants.length]!;
  const { loops } = options;
  // Exits are what makes a loop more than a shorter way to write the same.
  const exits = {
    after: Array.from({ length: loops - 1 }, (_, i) => i + 1),
    confidence: (['top1', 'margin', 'entropy'] as const)[index % 3]!,
  };
  const withExits = variant.form === 'loop' && loops > 1 ? { exits: options.exits ?? exits } : {};
  return { index, options: { ...options, ...withExits }, ...variant, writeWeights: index % 5 === 4 };
});

/** ONNX Runtime computes in float32, and large random weights make the most of it. */
const tolerance = 1e-4;

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-random-'));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Models whose tokens left at a threshold: after one loop, and after several. */
let exits = 0;

describe('random models', () => {
  test.each(drawn.map((model) => [title(model), model] as const))('%s', async (_, model) => {
    const folder = join(root, String(model.index));
    try {
      await checkModel(folder, model);
    } catch (error) {
      // Everything that the model is made of, above the difference that was found.
      if (error instanceof Error) error.message = `${JSON.stringify(model)}\n${error.message}`;
      throw error;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('every feature and every way to compile was among them', () => {
    if (count < 200) return;
    for (const variant of variants) {
      const same = drawn.filter(
        (d) => d.form === variant.form && d.lora === variant.lora && d.dialect === variant.dialect,
      );
      expect(same.length, JSON.stringify(variant)).toBeGreaterThanOrEqual(16);
      // A strategy has something to do only where there are factors.
      const relaxed = same.filter(({ options: { ranks } }) => ranks !== undefined);
      expect(relaxed.length, `with LoRA: ${JSON.stringify(variant)}`).toBeGreaterThanOrEqual(5);
    }
    const share = (what: string, has: (model: Drawn) => boolean) =>
      expect(drawn.filter(has).length, what).toBeGreaterThanOrEqual(count / 20);
    for (const type of ['llama', 'mistral', 'qwen2', 'qwen3', 'gemma', 'gpt_neox']) {
      share(type, ({ options }) => options.modelType === type);
    }
    for (const kind of ['default', 'linear', 'llama3', 'yarn'])
      share(kind, ({ options }) => options.rope.kind === kind);
    for (const dtype of ['f32', 'f16', 'bf16']) share(dtype, ({ options }) => options.dtype === dtype);
    share('a prelude and a loop', ({ options: { prelude, loops } }) => prelude > 0 && loops > 1);
    share('a coda and a loop', ({ options: { coda, loops } }) => coda > 0 && loops > 1);
    share('tied embeddings', ({ options }) => options.tied);
    share('several files', ({ options }) => options.shards > 1);
    share('one loop', ({ options }) => options.loops === 1);
    share('ranks that differ', ({ options }) => new Set(options.ranks ?? [1]).size > 1);
    share('written weights', ({ writeWeights }) => writeWeights);
    share('windows', ({ options: { slidingWindow, modelType } }) => {
      return slidingWindow !== undefined && ['mistral', 'qwen2', 'qwen3'].includes(modelType);
    });
    share('exits in a graph', ({ form, options }) => form === 'loop' && options.exits !== undefined);
    expect(exits, 'models whose tokens left at different loops').toBeGreaterThanOrEqual(count / 20);
  });
});

function title({ index, options, form, lora, dialect }: Drawn): string {
  const { modelType, prelude, block, loops, coda } = options;
  const layers = `${prelude}+${block}x${loops}+${coda}`;
  const repeat = seed === 2026 ? '' : `, RTC_RANDOM_SEED=${seed}`;
  return `model ${index}: ${modelType} ${layers}, ${form}, ${lora}, ${dialect}${repeat}`;
}

/** Prompts of different lengths, then more tokens for each. */
function promptsOf({ index, options: { vocabSize } }: Drawn): readonly (readonly (readonly number[])[])[] {
  const random = randomStream(`${seed} ${index}`);
  const tokens = (length: number) => Array.from({ length }, () => Math.floor(random() * vocabSize));
  return [
    [5, 1, 3],
    [1, 2, 2],
  ].map((lengths) => lengths.map(tokens));
}

async function checkModel(folder: string, drawn: Drawn): Promise<void> {
  const source = join(folder, 'model');
  makeTinyModel(source, drawn.options);
  const read = await readModel(source);
  if (!read.ok) expect.fail(JSON.stringify(read.diagnostics));
  const model = read.value;
  const { form, lora, dialect, writeWeights } = drawn;
  const exitLogits = form === 'unrolled';
  const out = join(folder, 'package');
  const pack = await openPackage(await compiled({ model: source, out, form, lora, dialect, writeWeights, exitLogits }));
  try {
    const prompts = promptsOf(drawn);
    const { loops } = model.recursion;
    for (const padding of ['left', 'right'] as const) await expectLikeSource(pack, model, prompts, { padding, loops });
    if (form === 'unrolled') return;
    if (loops > 1) {
      const fewer = 1 + (drawn.index % (loops - 1));
      await expectLikeSource(pack, model, prompts, { padding: 'left', loops: fewer });
    }
    await expectExits(pack, model, prompts, drawn.index % 2 === 0 ? 'left' : 'right');
  } finally {
    await pack.close();
  }
}

/** Each row of padded batches, and what comes behind them, as the source graph of so many loops gives for it alone. */
async function expectLikeSource(
  pack: OpenPackage,
  model: SourceModel,
  prompts: readonly (readonly (readonly number[])[])[],
  { padding, loops }: { readonly padding: 'left' | 'right'; readonly loops: number },
): Promise<void> {
  const judge = sourceJudges(model);
  const { form } = pack;
  const after = form === 'unrolled' ? (model.exits?.after ?? []) : [];
  type Outputs = ReadonlyMap<string, Tensor>;
  let past: { outputs: Outputs; mask: readonly (readonly number[])[] } | undefined;
  /** By number of loops, by row. */
  const before = new Map<number, readonly Outputs[]>();
  for (const [turn, tokens] of prompts.entries()) {
    const leave = { maxLoops: loops, threshold: 1 };
    const batch = padBatch(pack, { tokens, padding, ...(past ? { past } : {}) }, leave);
    const outputs = await pack.run(batch.inputs);
    const what = `turn ${turn + 1}, padded ${padding}, ${loops} loops`;
    // With a coda, its caches are those of the last loop, not of an exit.
    const tried = model.recursion.coda > 0 && turn > 0 ? [] : after;
    for (const n of [...tried, loops]) {
      const rows = await Promise.all(tokens.map((row, r) => judge(n).run(row, before.get(n)?.[r])));
      before.set(n, rows);
      const pairs =
        n === loops
          ? [{ output: 'logits', expected: 'logits' }, ...cacheCounterparts(form, model.recursion, loops)]
          : [{ output: `exit_logits.${n}`, expected: 'logits' }];
      expectRowsAlone(outputs, batch, rows, pairs, { tolerance, what });
    }
    const left = outputs.get('exit_loop');
    if (form === 'loop') {
      const [, sequence] = left!.shape as [number, number];
      const own = batch.columns.flatMap((columns, row) => columns.map((column) => left!.data[row * sequence + column]));
      expect(new Set(own), what).toEqual(new Set([loops]));
    }
    past = { outputs, mask: batch.mask };
  }
}

/** Tokens leave where the plain reference lets them, at a threshold that float32 cannot mistake. */
async function expectExits(
  pack: OpenPackage,
  model: SourceModel,
  prompts: readonly (readonly (readonly number[])[])[],
  padding: 'left' | 'right',
): Promise<void> {
  const threshold = model.exits && clearThreshold(model, prompts);
  if (threshold === undefined) return;
  const leave = { after: model.exits!.after, confidence: model.exits!.confidence, threshold };
  const left = await expectExitsLikeReference(model, pack, pack.run, prompts, {
    ...leave,
    padding,
    maxLoops: model.recursion.loops,
    tolerance,
  });
  if (new Set(left).size > 1) exits++;
}

/** A threshold in the middle of all confidences and far from each of them; undefined where they are too close. */
function clearThreshold(model: SourceModel, prompts: readonly (readonly (readonly number[])[])[]): number | undefined {
  const reference = loopReference(model);
  const { after, confidence } = model.exits!;
  /** What is compared with the threshold while all prompts run. */
  const confidencesAt = (threshold: number): readonly number[] => {
    let caches: readonly (SequenceCache | undefined)[] = [];
    return prompts.flatMap((tokens) => {
      const leave = { maxLoops: model.recursion.loops, threshold, confidence };
      const passes = tokens.map((row, r) => reference.run(row, caches[r], leave));
      caches = passes.map(({ cache }) => cache);
      return passes.flatMap(({ confidences }) => confidences.flatMap((c) => after.map((n) => c[n - 1] ?? [])).flat());
    });
  };
  const sorted = confidencesAt(1).toSorted((a, b) => a - b);
  const gaps = sorted
    .slice(1)
    .map((high, i) => ({ middle: (high + sorted[i]!) / 2, size: high - sorted[i]! }))
    .slice(Math.floor(sorted.length / 4), Math.ceil((3 * sorted.length) / 4))
    .toSorted((a, b) => b.size - a.size);
  // Who leaves changes what others attend to, and so their confidences.
  return gaps
    .slice(0, 6)
    .map(({ middle }) => middle)
    .find((middle) => confidencesAt(middle).every((c) => Math.abs(c - middle) > 1e-3));
}

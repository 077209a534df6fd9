import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readModel } from '../../../compiler/read/read-model.ts';
import type { KvPolicy } from '../../../runtime/depth-batched/core.ts';
import { kvPolicyReference } from '../../support/kv-policy-reference.ts';
import { randomStream } from '../../support/random.ts';
import { makeTinyModel, type TinyModelOptions } from '../../support/tiny-model.ts';
import { tinyModelOptions } from '../../support/tiny-model-options.ts';
import { clearThreshold } from './clear-threshold.ts';
import { drawSchedule } from './draw-schedule.ts';
import { expectLikeReference, type ReferenceCase, referenceCase } from './expect-like-reference.ts';
import { runSchedule } from './run-schedule.ts';
import { stepPackage } from './step-package.ts';

/**
 * Random small models through the step graph, each in another way to compile it, against what every policy means.
 * `RTC_RANDOM_SEED` draws others, and `RTC_RANDOM_MODELS` another number of them.
 */
const seed = Number(process.env.RTC_RANDOM_SEED ?? 2026);
const count = Number(process.env.RTC_RANDOM_MODELS ?? 30);
const policies: readonly KvPolicy[] = ['last-exited', 'propagate', 'complete', 'shared'];

const ways = (['portable', 'ort'] as const).flatMap((dialect) =>
  (['auto', 'concatenate', 'gather'] as const).flatMap((lora) =>
    ([1, 3] as const).map((attentionGroups) => ({ dialect, lora, attentionGroups })),
  ),
);

interface Drawn {
  readonly index: number;
  readonly options: TinyModelOptions;
  readonly way: (typeof ways)[number];
}

const drawn = fc.sample(tinyModelOptions(), { seed, numRuns: count }).map((options, index): Drawn => {
  const after = Array.from({ length: options.loops - 1 }, (_, i) => i + 1);
  const confidence = (['top1', 'margin', 'entropy'] as const)[index % 3]!;
  const exits = options.loops > 1 ? { exits: { after, confidence } } : {};
  return { index, options: { ...options, ...exits }, way: ways[index % ways.length]! };
});

/** Sequences that left by a threshold. */
let thresholds = 0;

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-random-steps-'));
});
afterAll(() => rmSync(root, { recursive: true }));

describe('random models', () => {
  test.each(drawn.map((model) => [title(model), model] as const))('%s', async (_, model) => {
    try {
      await checkModel(join(root, String(model.index)), model);
    } catch (error) {
      if (error instanceof Error) error.message = `${JSON.stringify(model)}\n${error.message}`;
      throw error;
    }
  });

  test('loops with preludes and codas, with and without LoRA were among them', () => {
    if (count < 30) return;
    const share = (what: string, has: (options: TinyModelOptions) => boolean) =>
      expect(drawn.filter(({ options }) => has(options)).length, what).toBeGreaterThanOrEqual(4);
    share('prelude', ({ prelude, loops }) => prelude > 0 && loops > 1);
    share('coda', ({ coda, loops }) => coda > 0 && loops > 1);
    share('LoRA', ({ ranks, loops }) => ranks !== undefined && loops > 1);
    expect(thresholds, 'sequences that left by a threshold').toBeGreaterThanOrEqual(30);
    share('one loop', ({ loops }) => loops === 1);
    share('windows', ({ slidingWindow, modelType }) => {
      return slidingWindow !== undefined && ['mistral', 'qwen2', 'qwen3'].includes(modelType);
    });
  });
});

function title({ index, options, way }: Drawn): string {
  const { modelType, prelude, block, loops, coda } = options;
  const groups = way.attentionGroups === 1 ? '1 group' : `${way.attentionGroups} groups`;
  return `model ${index}: ${modelType} ${prelude}+${block}x${loops}+${coda}, ${way.lora}, ${way.dialect}, ${groups}`;
}

async function checkModel(folder: string, { index, options, way }: Drawn): Promise<void> {
  const source = join(folder, 'model');
  makeTinyModel(source, options);
  const read = await readModel(source);
  if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
  const reference = kvPolicyReference(read.value);
  const { lora, ...rest } = way;
  const model = await stepPackage({
    model: source,
    out: join(folder, 'package'),
    ...rest,
    ...(read.value.lora ? { lora } : {}),
  });
  try {
    const random = randomStream(`${seed} step ${index}`);
    const { loops, vocabulary, exits } = model.shape;
    const maxNewTokens = 5;
    for (const kvPolicy of loops === 1 ? policies.slice(0, 1) : policies) {
      const cases: ReferenceCase[] = [];
      for (const i of [0, 1, 2]) {
        const prompt = Array.from({ length: 1 + Math.floor(random() * 7) }, () => Math.floor(random() * vocabulary));
        const ask = { prompt: kvPolicy === 'shared' ? prompt.slice(0, 3) : prompt, maxNewTokens, policy: kvPolicy };
        const trace = Array.from({ length: maxNewTokens }, () => 1 + Math.floor(random() * loops));
        const threshold = i === 0 && exits.length > 0 ? await clearThreshold(reference, ask, exits) : undefined;
        const exit =
          threshold === undefined
            ? { kind: 'trace' as const, exits: trace }
            : { kind: 'threshold' as const, threshold };
        if (threshold !== undefined) thresholds++;
        cases.push(await referenceCase(reference, ask, exit));
      }
      const plan = drawSchedule(
        random,
        model.shape,
        cases.map(({ request }) => request),
        { kvPolicy, logits: true },
      );
      const { outcomes } = await runSchedule(model, plan.options, plan.requests);
      for (const [i, expected] of cases.entries()) {
        const what = `${kvPolicy}, ${expected.request.exit!.kind}, ${JSON.stringify(plan.options)}`;
        expectLikeReference(outcomes[i]!, expected, what);
      }
    }
  } finally {
    await model.close();
    rmSync(folder, { recursive: true });
  }
}

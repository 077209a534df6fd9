import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { formatVerifyReport } from '../../compiler/verify/format-verify-report.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { tinyModelOptions } from '../support/tiny-model-options.ts';
import { compiled } from './open-package.ts';

/**
 * Random small models in 16 bits. How far from its model such a package may be depends on the model, so verify judges,
 * which knows; bfloat16 it executes itself. `RTC_RANDOM_SEED` and `RTC_RANDOM_MODELS` as in random-models.test.ts.
 */
const seed = Number(process.env.RTC_RANDOM_SEED ?? 7);
const count = Number(process.env.RTC_RANDOM_MODELS ?? 24);

type Variant = Pick<CompileOptions, 'form' | 'dialect' | 'precision'>;

const variants: readonly Variant[] = (['unrolled', 'loop'] as const).flatMap((form) =>
  (['portable', 'ort'] as const).flatMap((dialect) =>
    (['f16', 'bf16'] as const).map((precision) => ({ form, dialect, precision })),
  ),
);

// With tied embeddings the weights are so large that 16 bits lose track of them within a few layers.
const drawn = fc.sample(tinyModelOptions({ tied: false }), { seed, numRuns: count }).map((options, index) => {
  const variant = variants[index % variants.length]!;
  const strategies = ['keep', 'concatenate', variant.form === 'loop' ? 'auto' : 'bake'] as const;
  const lora = strategies[Math.floor(index / variants.length) % strategies.length]!;
  const title = `model ${index} of seed ${seed}: ${options.modelType}, ${Object.values({ ...variant, lora }).join(', ')}`;
  return [title, { index, options, ...variant, lora, writeWeights: index % 5 === 4 }] as const;
});

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-16-bit-'));
});
afterAll(() => rmSync(root, { recursive: true }));

test.each(drawn)('%s', async (_, { index, options, ...how }) => {
  const folder = join(root, String(index));
  const model = join(folder, 'model');
  try {
    makeTinyModel(model, options);
    const exitLogits = how.form === 'unrolled';
    const out = await compiled({ model, out: join(folder, 'package'), exitLogits, ...how });
    const result = await verifyPackage(out, { model });
    if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
    const { document, executedBy } = result.value;
    expect(document.ok, `${JSON.stringify(options)}\n${formatVerifyReport(result.value)}`).toBe(true);
    // In 16 bits nothing is exact: numbers that equal the model's were not computed in them.
    expect(document.outputs.find(({ name }) => name === 'logits')?.maxRel).toBeGreaterThan(1e-5);
    expect(executedBy).toContain(how.precision === 'bf16' ? 'one by one' : "ONNX Runtime's CPU provider");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ModelType } from '../../compiler/architectures/decoder-spec.ts';
import type { ConvertOptions } from '../../compiler/convert/convert-options.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { converted } from './convert-parts.ts';
import { floatsOf } from './read-floats.ts';
import { type Logits, logitsOf } from './score-windows.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-orders-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

let made = 0;
function teacher(options: Partial<TinyModelOptions> = {}) {
  const folder = join(scratch, `case-${made++}`);
  makeTinyModel(join(folder, 'teacher'), { block: 6, loops: 1, ...options });
  return { model: join(folder, 'teacher'), out: join(folder, 'recursive') };
}

const tokens = [
  [1, 5, 9, 33, 60, 2, 17, 40],
  [3, 3, 7, 12, 50, 61, 4, 4],
];

/** The largest difference of two models' logits, in units of the largest logit. */
async function difference(model: string, other: string): Promise<number> {
  const [a, b]: readonly Logits[] = [await logitsOf(model, tokens, scratch), await logitsOf(other, tokens, scratch)];
  let [most, scale] = [0, 0];
  for (let i = 0; i < a!.data.length; i++) {
    most = Math.max(most, Math.abs(a!.data[i]! - b!.data[i]!));
    scale = Math.max(scale, Math.abs(a!.data[i]!));
  }
  return most / scale;
}

const recursionOf = (out: string) =>
  (JSON.parse(readFileSync(join(out, 'model.json'), 'utf8')) as { readonly recursion: unknown }).recursion;

const ways: readonly (readonly [string, Pick<ConvertOptions, 'loops' | 'sharing'>, unknown])[] = [
  ['cycle', { loops: 2 }, { prelude: 0, block: 3, loops: 2, coda: 0 }],
  ['sequence', { loops: 3, sharing: 'sequence' }, { prelude: 0, block: 2, loops: 3, coda: 0, order: 'sequence' }],
  ['middle-cycle', { loops: 2, sharing: 'middle-cycle' }, { prelude: 1, block: 2, loops: 2, coda: 1 }],
  [
    'middle-sequence',
    { loops: 2, sharing: 'middle-sequence' },
    { prelude: 1, block: 2, loops: 2, coda: 1, order: 'sequence' },
  ],
  ['a list', { sharing: [0, 1, 1, 0, 2, 1] }, { layers: [0, 1, 1, 0, 2, 1] }],
];

describe.each(ways)('%s', (_, way, recursion) => {
  test('at full rank, and with the norms of each depth, gives the logits of the original', async () => {
    const { model, out } = teacher();
    await converted({ model, out, ...way, norms: 'per-depth', lora: { rank: 1000 } });
    expect(recursionOf(out)).toEqual({ ...(recursion as object), norms: 'per-depth' });
    expect(await difference(model, out)).toBeLessThan(1e-4);
  });

  test('without factors it is another model, which compiles', async () => {
    const { model, out } = teacher();
    await converted({ model, out, ...way });
    expect(recursionOf(out)).toEqual(recursion);
    expect(await difference(model, out)).toBeGreaterThan(1e-2);
  });
});

test('norms of each depth are the original’s own, byte for byte, and there are no shared ones', async () => {
  const { model, out } = teacher({ dtype: 'bf16' });
  const { parameters } = await converted({ model, out, loops: 2, norms: 'per-depth' });
  const [before, after] = [await floatsOf(model), await floatsOf(out)];
  for (const norm of ['input_layernorm', 'post_attention_layernorm']) {
    for (let layer = 0; layer < 6; layer++) {
      const name = `model.layers.${layer % 3}.${norm}`;
      expect(after.get(`${name}.depth_${Math.floor(layer / 3)}.weight`)).toEqual(
        before.get(`model.layers.${layer}.${norm}.weight`),
      );
      expect(after.has(`${name}.weight`)).toBe(false);
    }
  }
  const shared = teacher({ dtype: 'bf16' });
  const { parameters: fewer } = await converted({ ...shared, loops: 2 });
  expect(parameters.storedLayers - fewer.storedLayers).toBe(3 * 2 * 32);
});

// GPT-NeoX and Qwen2 have biases, which all depths share.
describe.each<ModelType>(['llama', 'mistral', 'qwen3', 'gemma'])('%s', (modelType) => {
  test('full rank and own norms give the logits of the original', async () => {
    const { model, out } = teacher({ modelType, tied: modelType === 'gemma' });
    await converted({ model, out, loops: 3, norms: 'per-depth', lora: { rank: 1000 } });
    expect(await difference(model, out)).toBeLessThan(1e-4);
  });
});

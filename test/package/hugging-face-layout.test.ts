import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AutoModelForCausalLM, AutoTokenizer, env, Tensor } from '@huggingface/transformers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import { unrolledConfig } from '../../compiler/package/unrolled-config.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import { readPackage } from '../../files/package.ts';
import { referenceModel } from '../support/reference-model.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { modelFolder, simplePackage } from './simple-package.ts';

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  const model = modelFolder('kjv-relaxed');
  await compile({ model, out: join(folder, 'kjv'), form: 'unrolled', layout: 'huggingface' });
  await compile({ model, out: join(folder, 'kjv-ort'), form: 'unrolled', layout: 'huggingface', dialect: 'ort' });
  env.allowRemoteModels = false;
  env.localModelPath = folder;
});

afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  'kjv',
  'kjv-ort',
])('transformers.js loads the folder %s as it is and generates what the reference says', async (name) => {
  const { reference } = await referenceModel('kjv-relaxed');
  const ids = reference.get('input_ids')!;
  const expected = reference.get('generated')!;
  const steps = expected.shape[1]!;
  const model = await AutoModelForCausalLM.from_pretrained(name, { dtype: 'fp32' });
  try {
    const shape = [...ids.shape];
    const generated = (await model.generate({
      inputs: new Tensor('int64', BigInt64Array.from(ids.data, BigInt), shape),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.data.length).fill(1n), shape),
      max_new_tokens: steps,
      min_new_tokens: steps,
      do_sample: false,
    } as never)) as Tensor;
    const tokens = generated.tolist().map((row: bigint[]) => row.slice(ids.shape[1]).map(Number));
    const rows = Array.from({ length: shape[0]! }, (_, b) => [...expected.data.slice(b * steps, (b + 1) * steps)]);
    expect(tokens).toEqual(rows);
  } finally {
    await model.dispose();
  }
});

test('its tokenizer reads, writes, and knows the special tokens', async () => {
  const tokenizer = await AutoTokenizer.from_pretrained('kjv');
  const text = 'In the beginning God created the heaven and the earth.';
  const ids = tokenizer.encode(text);
  expect(ids.length).toBeGreaterThan(5);
  expect(tokenizer.decode(ids)).toBe(text);
  expect(tokenizer.eos_token).toBe('<|end|>');
});

test('the folder is an rtc package whose model is beside the graph', async () => {
  const read = await readPackage(join(folder, 'kjv'));
  expect(read.diagnostics).toEqual([]);
  expect(read.ok && read.value.manifest.source).toEqual({
    folder: 'onnx',
    model: 'onnx/model.json',
    config: 'onnx/config.json',
    missing: [],
  });
  const config = JSON.parse(readFileSync(join(folder, 'kjv', 'config.json'), 'utf8'));
  expect(config).toMatchObject({ num_hidden_layers: 6, num_key_value_heads: 2, head_dim: 32, model_type: 'llama' });
  expect((await readModel(join(folder, 'kjv', 'onnx'))).ok).toBe(true);
});

const shape = { prelude: 1, block: 2, loops: 2, coda: 1 };
const full = 'full_attention';
const sliding = 'sliding_attention';

const configs: Readonly<Record<string, [Partial<TinyModelOptions>, Readonly<Record<string, unknown>>]>> = {
  'qwen3 with windows on some stored layers': [
    { modelType: 'qwen3', slidingWindow: 4, windowed: [false, true, false, true] },
    {
      num_hidden_layers: 6,
      use_sliding_window: true,
      sliding_window: 4,
      layer_types: [full, sliding, full, sliding, full, sliding],
      max_window_layers: 1,
    },
  ],
  'qwen2 without windows': [
    { modelType: 'qwen2' },
    { use_sliding_window: false, sliding_window: null, layer_types: Array(6).fill(full), max_window_layers: 6 },
  ],
  'mistral with one window': [
    { modelType: 'mistral', slidingWindow: 3 },
    { sliding_window: 3, num_hidden_layers: 6 },
  ],
  'gemma, whose heads are wider': [
    { modelType: 'gemma', headDim: 16 },
    { head_dim: 16, num_key_value_heads: 2, num_hidden_layers: 6 },
  ],
};

for (const [title, [options, expected]] of Object.entries(configs)) {
  test(`config.json of the unrolled model: ${title}`, async () => {
    const place = join(folder, title);
    makeTinyModel(place, { ...shape, ...options });
    const read = await readModel(place);
    if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
    const config = unrolledConfig(read.value);
    expect(config).toMatchObject(expected);
    // What is not about layers stays.
    expect(config).toMatchObject({ hidden_size: 32, vocab_size: 64, model_type: options.modelType });
  });
}

test('only the unrolled form has that layout', async () => {
  const out = join(folder, 'loop');
  const unrolled = await simplePackage(modelFolder('kjv-relaxed'), { out });
  if (!unrolled.ok) return expect.fail();
  const facts = { ...unrolled.value.manifest, form: 'loop' as const, loraStrategy: 'keep' as const };
  const { graph } = await referenceModel('kjv-relaxed');
  const options = { out, layout: 'huggingface' as const, facts: { ...facts, graphs: [graph] } };
  expect((await simplePackage(modelFolder('kjv-relaxed'), options)).diagnostics).toMatchObject([
    { code: 'unsupported-layout' },
  ]);
});

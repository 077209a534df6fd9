import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSpec, specOf } from '../support/read-spec.ts';

/** Tables that transformers 5.23 computed, in float32. */
const rotaryTables = JSON.parse(readFileSync(join(import.meta.dirname, 'rotary-tables.json'), 'utf8')) as {
  readonly name: string;
  readonly config: object;
  readonly inverseFrequencies: readonly number[];
  readonly attentionFactor: number;
}[];

describe('rotary tables are those of transformers, up to the last bits of its pow', () => {
  test.each(rotaryTables)('$name', ({ config, inverseFrequencies, attentionFactor }) => {
    const result = readSpec(config);
    if (!result.ok) throw new Error(JSON.stringify(result.diagnostics));
    // PyTorch's float32 pow may be off by one in the last bit, and by which depends on the machine.
    const off = result.value.rotary.inverseFrequencies.map((f, i) => Math.abs(f / inverseFrequencies[i]! - 1));
    expect(Math.max(...off)).toBeLessThan(2 ** -22);
    expect(result.value.rotary.attentionFactor).toBe(attentionFactor);
    expect(result.value.rotary.dims).toBe(2 * inverseFrequencies.length);
  });
});

test('a config that says nothing has the defaults of its class', () => {
  const seen = (config: object) => {
    const s = specOf(config);
    return [
      s.hiddenSize,
      s.intermediateSize,
      s.storedLayers,
      s.heads,
      s.kvHeads,
      s.headDim,
      s.vocabSize,
      s.maxPositions,
    ];
  };
  expect(seen({ model_type: 'llama' })).toEqual([4096, 11008, 32, 32, 32, 128, 32000, 2048]);
  expect(seen({ model_type: 'mistral' })).toEqual([4096, 14336, 32, 32, 8, 128, 32000, 131072]);
  expect(seen({ model_type: 'qwen2' })).toEqual([4096, 22016, 32, 32, 32, 128, 151936, 32768]);
  expect(seen({ model_type: 'qwen3' })).toEqual([4096, 22016, 32, 32, 32, 128, 151936, 32768]);
  expect(seen({ model_type: 'gemma' })).toEqual([3072, 24576, 28, 16, 16, 256, 256000, 8192]);
  expect(seen({ model_type: 'gpt_neox' })).toEqual([6144, 24576, 44, 64, 64, 96, 50432, 2048]);
});

test('defaults that are no sizes', () => {
  const of = (model_type: string) => specOf({ model_type });
  expect(of('llama')).toMatchObject({
    norm: { kind: 'rms', epsilon: 1e-6, addsOne: false },
    activation: 'silu',
    gated: true,
    tiedEmbeddings: false,
    embeddingScale: undefined,
    biases: { qkv: false, output: false, mlp: false, head: false },
    rotary: { dims: 128 },
    attentionScale: 1 / Math.sqrt(128),
  });
  expect(of('qwen2').biases).toEqual({ qkv: true, output: false, mlp: false, head: false });
  expect(of('qwen3').qkNorm).toBe(true);
  expect(of('gemma')).toMatchObject({ norm: { addsOne: true }, activation: 'gelu_tanh', tiedEmbeddings: true });
  expect(of('gpt_neox')).toMatchObject({
    norm: { kind: 'layer', epsilon: 1e-5 },
    activation: 'gelu',
    gated: false,
    fusedQkv: true,
    parallelResidual: true,
    biases: { qkv: true, output: true, mlp: true, head: false },
    rotary: { dims: 24 },
  });
});

describe('heads', () => {
  test('null is as many kv heads as heads; Mistral has eight when nothing is said', () => {
    expect(specOf({ model_type: 'mistral', num_key_value_heads: null }).kvHeads).toBe(32);
    expect(specOf({ model_type: 'llama', num_key_value_heads: null }).kvHeads).toBe(32);
  });

  test('head_dim goes its own way', () => {
    expect(specOf({ model_type: 'llama', head_dim: 64 })).toMatchObject({ headDim: 64, rotary: { dims: 64 } });
    expect(specOf({ model_type: 'llama', head_dim: null }).headDim).toBe(128);
    expect(specOf({ model_type: 'qwen3', hidden_size: 1024 }).headDim).toBe(128);
  });

  test('heads of GPT-NeoX are hidden_size / num_attention_heads and nothing else', () => {
    expect(readSpec({ model_type: 'gpt_neox', head_dim: 64 }).diagnostics[0]).toMatchObject({ code: 'contradiction' });
    expect(readSpec({ model_type: 'gpt_neox', num_key_value_heads: 8 }).diagnostics[0]).toMatchObject({
      code: 'contradiction',
      message: 'gpt_neox has num_key_value_heads 64, but the config says 8.',
    });
    expect(readSpec({ model_type: 'gpt_neox', num_key_value_heads: 64, head_dim: 96 }).ok).toBe(true);
  });
});

describe('rotary styles', () => {
  const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 512 };

  test('transformers 4 and 5 say the same in their own words', () => {
    const old = specOf({ model_type: 'llama', rope_theta: 5e5, rope_scaling: { type: 'llama3', ...scaling } });
    const now = specOf({ model_type: 'llama', rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, ...scaling } });
    expect(old).toEqual(now);
    const neox = { model_type: 'gpt_neox', hidden_size: 512, num_attention_heads: 8 };
    expect(specOf({ ...neox, rotary_pct: 0.5, rotary_emb_base: 5e4 })).toEqual(
      specOf({ ...neox, rope_parameters: { rope_type: 'default', rope_theta: 5e4, partial_rotary_factor: 0.5 } }),
    );
  });

  test('the original length defaults to max_position_embeddings, and a key beside the object goes first', () => {
    const { original_max_position_embeddings: _, ...rest } = scaling;
    const of = (more: object, inside: object = {}) =>
      specOf({
        model_type: 'llama',
        max_position_embeddings: 512,
        rope_scaling: { type: 'llama3', ...rest, ...inside },
        ...more,
      });
    const known = of({}, { original_max_position_embeddings: 512 });
    expect(of({})).toEqual(known);
    expect(of({ original_max_position_embeddings: 512 }, { original_max_position_embeddings: 64 })).toEqual(known);
  });

  test('equal parameters for every layer type are one', () => {
    const one = { rope_type: 'default', rope_theta: 1e6 };
    const nested = { full_attention: one, sliding_attention: { rope_theta: 1e6, rope_type: 'default' } };
    expect(specOf({ model_type: 'qwen3', rope_parameters: nested })).toEqual(
      specOf({ model_type: 'qwen3', rope_parameters: one }),
    );
  });

  test('the kind default of an old file, and an empty object, are no scaling', () => {
    const plain = specOf({ model_type: 'llama' });
    expect(specOf({ model_type: 'llama', rope_scaling: { type: 'default' } })).toEqual(plain);
    expect(specOf({ model_type: 'llama', rope_scaling: {}, rope_parameters: null })).toEqual(plain);
    expect(specOf({ model_type: 'llama', rope_scaling: null, rope_theta: 10000, partial_rotary_factor: 1 })).toEqual(
      plain,
    );
  });

  test('what is ignored is told', () => {
    const codes = (config: object) =>
      readSpec({ model_type: 'llama', ...config }).diagnostics.map((d) => [d.severity, d.code]);
    expect(codes({ rope_parameters: { rope_type: 'default', factor: 2 } })).toEqual([['warning', 'ignored-key']]);
    expect(codes({ rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'default' } })).toEqual([
      ['warning', 'ignored-key'],
    ]);
    const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 1024 };
    expect(codes({ rope_parameters: yarn, max_position_embeddings: 2048 })).toEqual([['warning', 'contradiction']]);
  });

  test('dynamic scaling is refused, and why', () => {
    const result = readSpec({ model_type: 'llama', rope_scaling: { type: 'dynamic', factor: 2 } });
    expect(result.diagnostics[0]?.message).toContain('depends on the other sequences of a batch');
  });
});

describe('sliding windows', () => {
  const windows = (config: object) => specOf({ num_hidden_layers: 4, ...config }).slidingWindows;

  test('Mistral: all layers, 4096 unless told, none for null', () => {
    expect(windows({ model_type: 'mistral' })).toEqual([4096, 4096, 4096, 4096]);
    expect(windows({ model_type: 'mistral', sliding_window: 8 })).toEqual([8, 8, 8, 8]);
    expect(windows({ model_type: 'mistral', sliding_window: null })).toEqual(Array(4).fill(undefined));
  });

  test.each([
    'qwen2',
    'qwen3',
  ])('%s: only when asked for, from max_window_layers on, or as layer_types says', (model_type) => {
    const none = Array(4).fill(undefined);
    expect(windows({ model_type, sliding_window: 8, max_window_layers: 0 })).toEqual(none);
    const asked = { model_type, sliding_window: 8, use_sliding_window: true };
    expect(windows(asked)).toEqual(none);
    expect(windows({ ...asked, max_window_layers: 2 })).toEqual([undefined, undefined, 8, 8]);
    const layer_types = ['sliding_attention', 'full_attention', 'attention', 'sliding_attention'];
    expect(windows({ ...asked, max_window_layers: 0, layer_types })).toEqual([8, undefined, undefined, 8]);
    expect(windows({ ...asked, sliding_window: null, max_window_layers: 0 })).toEqual(none);
  });

  test('layer types that say what holds anyway are fine everywhere', () => {
    const layer_types = Array(4).fill('full_attention');
    for (const model_type of ['llama', 'gemma', 'gpt_neox'])
      expect(windows({ model_type, layer_types })).toHaveLength(4);
    expect(windows({ model_type: 'mistral', sliding_window: null, layer_types })).toHaveLength(4);
  });
});

describe('Gemma', () => {
  const gemma = (config: object, stored = {}) => specOf({ model_type: 'gemma', ...config }, stored);

  test('the embedding scale is rounded to the type of the checkpoint', () => {
    expect(gemma({}).embeddingScale).toBe(Math.fround(Math.sqrt(3072)));
    expect(gemma({ dtype: 'bfloat16' }).embeddingScale).toBe(55.5);
    expect(gemma({ torch_dtype: 'bfloat16' }).embeddingScale).toBe(55.5);
    expect(gemma({ dtype: 'float16' }).embeddingScale).toBe(55.4375);
    expect(gemma({}, { 'model.embed_tokens.weight': 'bf16' }).embeddingScale).toBe(55.5);
    expect(gemma({ dtype: 'float32' }, { 'model.embed_tokens.weight': 'bf16' }).embeddingScale).toBeCloseTo(55.4256, 4);
    expect(gemma({ hidden_size: 64 }).embeddingScale).toBe(8);
  });

  test('gelu means its tanh approximation, as the official configs want it', () => {
    expect(gemma({ hidden_act: 'gelu' }).activation).toBe('gelu_tanh');
    expect(gemma({ hidden_act: 'gelu', hidden_activation: 'gelu_pytorch_tanh' }).activation).toBe('gelu_tanh');
    expect(gemma({ hidden_activation: null }).activation).toBe('gelu_tanh');
    expect(gemma({ hidden_act: 'silu' }).activation).toBe('silu');
    expect(readSpec({ model_type: 'gemma', hidden_activation: 'gelu' }).diagnostics[0]?.code).toBe('contradiction');
  });

  test('a null or false that asks for nothing is fine', () => {
    expect(gemma({ use_bidirectional_attention: null }).modelType).toBe('gemma');
    expect(gemma({ use_bidirectional_attention: false }).modelType).toBe('gemma');
  });
});

describe('GPT-NeoX', () => {
  test('the head has the name that the checkpoint gives it', () => {
    const neox = { model_type: 'gpt_neox' };
    expect(specOf(neox).names.head).toBe('lm_head');
    expect(specOf(neox, { 'embed_out.weight': 'f16' }).names.head).toBe('embed_out');
  });

  test('attention without biases, residuals one after the other', () => {
    const spec = specOf({ model_type: 'gpt_neox', attention_bias: false, use_parallel_residual: false });
    expect(spec.biases).toEqual({ qkv: false, output: false, mlp: true, head: false });
    expect(spec.parallelResidual).toBe(false);
  });
});

test.each([
  ['silu', 'silu'],
  ['swish', 'silu'],
  ['gelu', 'gelu'],
  ['gelu_new', 'gelu_tanh'],
  ['gelu_fast', 'gelu_tanh'],
  ['gelu_pytorch_tanh', 'gelu_tanh'],
  ['quick_gelu', 'quick_gelu'],
  ['relu', 'relu'],
])('the activation %s is %s', (hidden_act, expected) => {
  expect(specOf({ model_type: 'llama', hidden_act }).activation).toBe(expected);
});

test('code of its own is told, and harmless values of foreign keys are not', () => {
  expect(readSpec({ model_type: 'llama', auto_map: { AutoModel: 'x.Y' } }).diagnostics).toMatchObject([
    { severity: 'warning', code: 'ignored-key' },
  ]);
  const harmless = { attn_logit_softcapping: null, logit_scale: 1, alibi: false, pretraining_tp: 2, use_cache: true };
  expect(specOf({ model_type: 'llama', ...harmless }).modelType).toBe('llama');
});

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { config, files, type Malformed } from './change.ts';

/** A config.json that is wrong, or that asks for what rtc does not have. */
export const malformedConfig: readonly Malformed[] = [
  {
    title: 'a config that is a list',
    make: files((folder) => writeFileSync(join(folder, 'config.json'), '[]')),
    code: 'wrong-type',
    in: 'config.json',
    says: ['is an object', 'an empty list'],
  },
  {
    title: 'a config that is no JSON',
    make: files((folder) => writeFileSync(join(folder, 'config.json'), '{"a" 1}')),
    code: 'invalid-json',
    in: 'config.json',
    says: ['a colon was expected'],
  },
  {
    title: 'no model_type',
    make: config((c) => delete c.model_type),
    code: 'unknown-model-type',
    at: 'model_type',
    says: ['"model_type" is missing'],
  },
  {
    title: 'an unknown model_type',
    make: config((c) => (c.model_type = 'llama4')),
    code: 'unknown-model-type',
    at: 'model_type',
    says: ['"llama4" is not one that rtc reads. Did you mean "llama"?'],
  },
  {
    title: 'a model_type that every object has',
    make: config((c) => (c.model_type = 'constructor')),
    code: 'unknown-model-type',
    at: 'model_type',
    says: ['"constructor"'],
  },
  {
    title: 'heads as text',
    make: config((c) => (c.num_attention_heads = '4')),
    code: 'wrong-type',
    at: 'num_attention_heads',
    says: ['a whole number', 'found "4"'],
  },
  {
    title: 'no heads',
    make: config((c) => (c.num_attention_heads = 0)),
    code: 'wrong-value',
    at: 'num_attention_heads',
    says: ['a whole number from 1', 'found 0'],
  },
  {
    title: 'heads that do not share',
    make: config((c) => (c.num_key_value_heads = 3)),
    code: 'contradiction',
    at: 'num_key_value_heads',
    says: ['(4) is not a multiple of num_key_value_heads (3)'],
  },
  {
    title: 'heads that do not divide',
    make: config((c) => {
      c.num_attention_heads = 5;
      delete c.head_dim;
    }),
    code: 'contradiction',
    at: 'num_attention_heads',
    says: ['hidden_size (32) is not a multiple of num_attention_heads (5)'],
  },
  {
    title: 'a billion layers',
    make: config((c) => (c.num_hidden_layers = 1e9)),
    code: 'wrong-value',
    at: 'num_hidden_layers',
    says: ['from 1 to 4096'],
  },
  {
    title: 'a negative epsilon',
    make: config((c) => (c.rms_norm_eps = -1)),
    code: 'wrong-value',
    at: 'rms_norm_eps',
    says: ['a number above 0'],
  },
  {
    title: 'an unknown activation',
    make: config((c) => (c.hidden_act = 'gelu_tanh')),
    code: 'unsupported-activation',
    at: 'hidden_act',
    says: ['"gelu_tanh" is not one'],
  },
  {
    title: 'quantised weights',
    make: config((c) => (c.quantization_config = { quant_method: 'gptq', bits: 4 })),
    code: 'quantised-weights',
    at: 'quantization_config',
    says: ['gptq', 'F32, F16 and BF16'],
  },
  {
    title: 'soft-capped scores',
    make: config((c) => (c.attn_logit_softcapping = 50)),
    code: 'unsupported-feature',
    at: 'attn_logit_softcapping',
    says: ['is 50'],
  },
  {
    title: 'a window where there is none',
    make: config((c) => (c.sliding_window = 128)),
    code: 'unsupported-feature',
    at: 'sliding_window',
    says: ['llama has no sliding window', '128'],
  },
  {
    title: 'experts',
    make: config((c) => (c.num_local_experts = 8)),
    code: 'unsupported-feature',
    at: 'num_local_experts',
    says: ['is 8'],
  },
  {
    title: 'attention in both directions',
    make: config((c) => (c.use_bidirectional_attention = true), { modelType: 'gemma' }),
    code: 'unsupported-feature',
    at: 'use_bidirectional_attention',
    says: ['is true'],
  },
  {
    title: 'two activations of Gemma',
    make: config((c) => (c.hidden_activation = 'relu'), { modelType: 'gemma', activation: 'gelu' }),
    code: 'contradiction',
    at: 'hidden_activation',
    says: ['"relu"', 'gelu_tanh'],
  },
  {
    title: 'layer types of the unrolled model',
    make: config((c) => (c.layer_types = Array(4).fill('full_attention')), { modelType: 'qwen3' }),
    code: 'contradiction',
    at: 'layer_types',
    says: ['has 4 entries', 'num_hidden_layers is 2'],
  },
  {
    title: 'an unknown layer type',
    make: config((c) => (c.layer_types = ['full_attention', 'linear_attention']), { modelType: 'qwen3' }),
    code: 'unsupported-feature',
    at: 'layer_types',
    says: ['Layer 1 is of type "linear_attention"'],
  },
  {
    title: 'a sliding layer without a window',
    make: config((c) => (c.layer_types = ['full_attention', 'sliding_attention']), { modelType: 'qwen2' }),
    code: 'contradiction',
    at: 'layer_types',
    says: ['there is no window'],
  },
  {
    title: 'a full layer in Mistral with a window',
    make: config((c) => (c.layer_types = ['full_attention', 'sliding_attention']), {
      modelType: 'mistral',
      slidingWindow: 4,
    }),
    code: 'unsupported-feature',
    at: 'layer_types',
    says: ['layer 0 is "full_attention"'],
  },
];

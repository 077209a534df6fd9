import { readActivation } from './activation.ts';
import type { ConfigFields } from './config-fields.ts';
import type { DecoderNames, DecoderSpec } from './decoder-spec.ts';
import { maxStoredLayers } from './gated-decoder.ts';
import { readRotary } from './rotary.ts';
import { noSlidingWindows } from './sliding-windows.ts';
import type { StoredTensors } from './stored-tensors.ts';

/** GPT-NeoX and Pythia, by transformers' `GPTNeoXConfig` and modeling_gpt_neox.py. */
export function readGptNeox(config: ConfigFields, stored: StoredTensors): DecoderSpec {
  const hiddenSize = config.count('hidden_size', 6144);
  const heads = config.count('num_attention_heads', 64);
  const headDim = Math.max(Math.floor(hiddenSize / heads), 1);
  const storedLayers = config.count('num_hidden_layers', 44, 1, maxStoredLayers);
  const maxPositions = config.count('max_position_embeddings', 2048);
  const attention = config.flag('attention_bias', true);
  if (hiddenSize % heads !== 0) {
    const message = `hidden_size (${hiddenSize}) is not a multiple of num_attention_heads (${heads}).`;
    config.error('contradiction', 'num_attention_heads', message);
  }
  // Other heads than hidden_size / num_attention_heads would rotate by one size and attend by another.
  for (const [key, expected] of [
    ['head_dim', headDim],
    ['num_key_value_heads', heads],
  ] as const) {
    if (config.has(key) && config.count(key, expected) !== expected) {
      config.error('contradiction', key, `gpt_neox has ${key} ${expected}, but the config says ${config.raw(key)}.`);
    }
  }
  return {
    modelType: 'gpt_neox',
    hiddenSize,
    intermediateSize: config.count('intermediate_size', 24576),
    storedLayers,
    heads,
    kvHeads: heads,
    headDim,
    vocabSize: config.count('vocab_size', 50432),
    maxPositions,
    norm: { kind: 'layer', epsilon: config.positive('layer_norm_eps', 1e-5), addsOne: false },
    activation: readActivation(config, 'hidden_act', 'gelu'),
    gated: false,
    parallelResidual: config.flag('use_parallel_residual', true),
    fusedQkv: true,
    qkNorm: false,
    embeddingScale: undefined,
    tiedEmbeddings: config.flag('tie_word_embeddings', false),
    rotary: readRotary(config, {
      headDim,
      maxPositions,
      thetaKey: 'rotary_emb_base',
      partial: { key: 'rotary_pct', absent: 0.25 },
      mayBePartial: true,
    }),
    attentionScale: 1 / Math.sqrt(headDim),
    slidingWindows: noSlidingWindows(config, storedLayers),
    biases: { qkv: attention, output: attention, mlp: true, head: false },
    // Transformers 5 writes lm_head; before, and in every checkpoint of then, the head was embed_out.
    names: { ...names, head: stored.dtypeOf('embed_out.weight') === undefined ? 'lm_head' : 'embed_out' },
  };
}

const names: Omit<DecoderNames, 'head'> = {
  embedding: 'gpt_neox.embed_in',
  layers: 'gpt_neox.layers',
  inputNorm: 'input_layernorm',
  postAttentionNorm: 'post_attention_layernorm',
  qkv: 'attention.query_key_value',
  q: '',
  k: '',
  v: '',
  output: 'attention.dense',
  qNorm: '',
  kNorm: '',
  gate: '',
  up: 'mlp.dense_h_to_4h',
  down: 'mlp.dense_4h_to_h',
  finalNorm: 'gpt_neox.final_layer_norm',
};

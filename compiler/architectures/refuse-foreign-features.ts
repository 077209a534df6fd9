import { showValue } from '../../files/json.ts';
import type { ConfigFields } from './config-fields.ts';

/**
 * Keys of other architectures that change what a model computes, with the values under which they change nothing.
 * Transformers would ignore most of them here; a config that has them was not made for these architectures, and
 * ignoring them would compile another model than the one that was trained.
 */
const foreign: Readonly<Record<string, readonly unknown[]>> = {
  attn_logit_softcapping: [],
  final_logit_softcapping: [],
  attention_logit_softcapping: [],
  query_pre_attn_scalar: [],
  attention_multiplier: [1],
  residual_multiplier: [1],
  embedding_multiplier: [1],
  logits_scaling: [1],
  logit_scale: [1],
  clip_qkv: [],
  use_qk_norm: [false],
  qk_layernorm: [false],
  alibi: [false],
  use_bidirectional_attention: [false],
  is_causal: [true],
  is_encoder_decoder: [false],
  add_cross_attention: [false],
  no_rope_layers: [],
  rope_local_base_freq: [],
  num_local_experts: [0, 1],
  num_experts: [0, 1],
  n_routed_experts: [0],
  kv_lora_rank: [],
  q_lora_rank: [],
  num_kv_shared_layers: [0],
  per_layer_config: [],
};

/** Refuses, by name, what would make the result another than the config asks for: quantised weights, soft caps … */
export function refuseForeignFeatures(config: ConfigFields): void {
  for (const key of ['quantization_config', 'compression_config']) {
    if (!config.has(key)) continue;
    const method = config.object(key)?.raw('quant_method');
    const message = `The weights are quantised (${key}${typeof method === 'string' ? `: ${method}` : ''}); rtc reads F32, F16 and BF16 weights.`;
    config.error(
      'quantised-weights',
      key,
      message,
      'Compile the checkpoint that it was made from; rtc quantises by itself.',
    );
  }
  for (const [key, harmless] of Object.entries(foreign)) {
    if (!config.has(key) || harmless.includes(config.raw(key))) continue;
    const message = `"${key}" is ${showValue(config.raw(key))}; rtc does not have this for ${config.text('model_type', '')}.`;
    config.error('unsupported-feature', key, message);
  }
  if (config.has('auto_map')) {
    const message = `The config names code of its own (auto_map); rtc reads it as a plain ${config.text('model_type', '')}.`;
    config.warning('ignored-key', 'auto_map', message, 'Transformers does the same without trust_remote_code.');
  }
}

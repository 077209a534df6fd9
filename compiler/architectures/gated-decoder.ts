import type { ConfigFields } from './config-fields.ts';
import type { Activation, DecoderNames, DecoderSpec, ModelType } from './decoder-spec.ts';
import { readRotary } from './rotary.ts';

/** The defaults of a config class for the keys that Llama and its relatives share. */
export interface GatedDefaults {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Undefined: as many as heads. */
  readonly kvHeads: number | undefined;
  readonly maxPositions: number;
  readonly tiedEmbeddings: boolean;
}

/** In what Llama's relatives differ. */
export interface GatedTraits {
  readonly modelType: ModelType;
  readonly defaults: GatedDefaults;
  /** Undefined: hidden_size / num_attention_heads. */
  readonly headDim: number | undefined;
  readonly activation: Activation;
  readonly normAddsOne: boolean;
  readonly qkNorm: boolean;
  readonly biases: DecoderSpec['biases'];
  readonly embeddingScale: (hiddenSize: number) => number | undefined;
  readonly slidingWindows: (storedLayers: number) => readonly (number | undefined)[];
}

/** Layers are numbered, checked and unrolled one by one; a number beyond this is a mistake. */
export const maxStoredLayers = 4096;

/** The decoder that Llama, Mistral, Qwen2, Qwen3 and Gemma are: RMS norms, rotary attention, a gated MLP. */
export function gatedDecoder(config: ConfigFields, traits: GatedTraits): DecoderSpec {
  const { defaults } = traits;
  const hiddenSize = config.count('hidden_size', defaults.hiddenSize);
  const heads = config.count('num_attention_heads', defaults.heads);
  const kvHeads = config.optionalCount('num_key_value_heads', defaults.kvHeads) ?? heads;
  const headDim = readHeadDim(config, traits.headDim, hiddenSize, heads);
  const storedLayers = config.count('num_hidden_layers', defaults.layers, 1, maxStoredLayers);
  const maxPositions = config.count('max_position_embeddings', defaults.maxPositions);
  if (heads % kvHeads !== 0) {
    const message = `num_attention_heads (${heads}) is not a multiple of num_key_value_heads (${kvHeads}).`;
    config.error('contradiction', 'num_key_value_heads', message);
  }
  return {
    modelType: traits.modelType,
    hiddenSize,
    intermediateSize: config.count('intermediate_size', defaults.intermediateSize),
    storedLayers,
    heads,
    kvHeads,
    headDim,
    vocabSize: config.count('vocab_size', defaults.vocabSize),
    maxPositions,
    norm: { kind: 'rms', epsilon: config.positive('rms_norm_eps', 1e-6), addsOne: traits.normAddsOne },
    activation: traits.activation,
    gated: true,
    parallelResidual: false,
    fusedQkv: false,
    qkNorm: traits.qkNorm,
    embeddingScale: traits.embeddingScale(hiddenSize),
    tiedEmbeddings: config.flag('tie_word_embeddings', defaults.tiedEmbeddings),
    rotary: readRotary(config, {
      headDim,
      maxPositions,
      thetaKey: 'rope_theta',
      partial: { key: 'partial_rotary_factor', absent: 1 },
      mayBePartial: false,
    }),
    attentionScale: 1 / Math.sqrt(headDim),
    slidingWindows: traits.slidingWindows(storedLayers),
    biases: traits.biases,
    names,
  };
}

function readHeadDim(config: ConfigFields, absent: number | undefined, hiddenSize: number, heads: number): number {
  const given = config.optionalCount('head_dim', absent);
  if (given !== undefined) return given;
  if (hiddenSize % heads !== 0) {
    const message = `hidden_size (${hiddenSize}) is not a multiple of num_attention_heads (${heads}), and there is no head_dim.`;
    config.error('contradiction', 'num_attention_heads', message);
  }
  return Math.max(Math.floor(hiddenSize / heads), 1);
}

const names: DecoderNames = {
  embedding: 'model.embed_tokens',
  layers: 'model.layers',
  inputNorm: 'input_layernorm',
  postAttentionNorm: 'post_attention_layernorm',
  qkv: undefined,
  q: 'self_attn.q_proj',
  k: 'self_attn.k_proj',
  v: 'self_attn.v_proj',
  output: 'self_attn.o_proj',
  qNorm: 'self_attn.q_norm',
  kNorm: 'self_attn.k_norm',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
  finalNorm: 'model.norm',
  head: 'lm_head',
};

/** Names of the architectures that rtc reads: the `model_type` of a Hugging Face config.json. */
export type ModelType = 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'gemma' | 'gpt_neox';

/**
 * A decoder as rtc sees it: what the six architectures have in common, and in which ways they differ.
 * Reading a config.json gives one of these, or diagnostics; building the graph looks at nothing else.
 */
export interface DecoderSpec {
  readonly modelType: ModelType;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  /** Layers that the checkpoint stores: prelude + block + coda. */
  readonly storedLayers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly norm: {
    readonly kind: 'rms' | 'layer';
    readonly epsilon: number;
    /** Gemma stores w and multiplies by 1 + w. */
    readonly addsOne: boolean;
  };
  readonly activation: Activation;
  /** True for `down(act(gate(x)) * up(x))`, false for `down(act(up(x)))`. */
  readonly gated: boolean;
  /** GPT-NeoX: attention and MLP read the same hidden state, through norms of their own. */
  readonly parallelResidual: boolean;
  /** GPT-NeoX: one projection whose rows are, head by head, q, k and v. */
  readonly fusedQkv: boolean;
  /** Qwen3: an RMS norm over head_dim on q and k, before the rotation. */
  readonly qkNorm: boolean;
  /** Gemma: the embedding is multiplied by sqrt(hidden), rounded to the checkpoint's type as transformers does. */
  readonly embeddingScale: number | undefined;
  readonly tiedEmbeddings: boolean;
  readonly rotary: RotarySpec;
  /** Scores are multiplied by this before the softmax. */
  readonly attentionScale: number;
  /** One entry per stored layer: how many positions back a token sees, itself included; undefined: all. */
  readonly slidingWindows: readonly (number | undefined)[];
  readonly biases: { readonly qkv: boolean; readonly output: boolean; readonly mlp: boolean; readonly head: boolean };
  /** Tensor names of the checkpoint. */
  readonly names: DecoderNames;
}

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'quick_gelu' | 'relu';

export interface RotarySpec {
  /** Leading dimensions of a head that rotate (even); the rest pass through. */
  readonly dims: number;
  /** dims / 2 inverse frequencies, scaling applied, rounded to float32 so that every Node writes the same bytes. */
  readonly inverseFrequencies: readonly number[];
  /** cos and sin are multiplied by this (yarn's attention factor; 1 otherwise). */
  readonly attentionFactor: number;
}

/**
 * Module paths inside a layer are relative to `layers.{i}`; the others are whole, without `.weight`.
 * What an architecture does not have is empty.
 */
export interface DecoderNames {
  readonly embedding: string;
  /** `model.layers` or `gpt_neox.layers`. */
  readonly layers: string;
  readonly inputNorm: string;
  readonly postAttentionNorm: string;
  readonly qkv: string | undefined;
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly output: string;
  readonly qNorm: string;
  readonly kNorm: string;
  /** Only when `gated`. */
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  readonly finalNorm: string;
  readonly head: string;
}

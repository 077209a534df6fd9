import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelType } from '../../compiler/architectures/decoder-spec.ts';
import type { Confidence } from '../../compiler/read/source-model.ts';
import { layoutSafetensors } from '../../files/write-safetensors.ts';
import type { FloatDType } from '../../ir/dtype.ts';
import { encodeTensor } from '../../ir/tensor-bytes.ts';
import { randomStream } from './random.ts';

export type TinyRope =
  | { readonly kind: 'default' }
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly low: number;
      readonly high: number;
      readonly original: number;
    }
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly original: number;
      /** Any other keys of yarn, by transformers' names. */
      readonly more: Readonly<Record<string, number | boolean>>;
    };

/** What a tiny model is made of. Features that an architecture does not have are left out of its config. */
export interface TinyModelOptions {
  readonly seed: number;
  readonly modelType: ModelType;
  readonly prelude: number;
  readonly block: number;
  readonly loops: number;
  readonly coda: number;
  /** Undefined: cycle. */
  readonly order: 'cycle' | 'sequence' | undefined;
  /** In place of prelude, block, loops, coda and order, which are what {@link tinyLayers} makes of it. */
  readonly layers: readonly number[] | undefined;
  /** Undefined: shared. */
  readonly norms: 'shared' | 'per-depth' | undefined;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** GPT-NeoX has heads · headDim. */
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly tied: boolean;
  readonly activation: string;
  readonly theta: number;
  readonly rope: TinyRope;
  /** `rope_parameters` and `dtype`, or the keys of transformers 4. */
  readonly transformers: 4 | 5;
  /** Only GPT-NeoX. */
  readonly partialRotary: number;
  readonly parallelResidual: boolean;
  /** Not Mistral; Qwen2 has biases on q, k and v whatever is said here. */
  readonly attentionBias: boolean;
  /** Only Llama; GPT-NeoX always has them. */
  readonly mlpBias: boolean;
  /** Only Mistral, and Qwen2 and Qwen3, where it holds for the stored layers that are true in `windowed`. */
  readonly slidingWindow: number | undefined;
  /** Shorter lists repeat. */
  readonly windowed: readonly boolean[];
  /** One rank per depth, 0 for none; undefined: no LoRA. */
  readonly ranks: readonly number[] | undefined;
  /** Undefined: all linear modules. */
  readonly targets: readonly string[] | undefined;
  readonly alpha: number | undefined;
  readonly exits:
    | { readonly after: readonly number[]; readonly confidence?: Confidence; readonly threshold?: number }
    | undefined;
  readonly dtype: FloatDType;
  readonly loraDtype: FloatDType;
  /** Files that the tensors are dealt to; with more than one there is an index. */
  readonly shards: number;
  /** False: an ordinary Hugging Face folder, for models with one loop. */
  readonly modelJson: boolean;
}

export const tinyDefaults: TinyModelOptions = {
  seed: 1,
  modelType: 'llama',
  prelude: 0,
  block: 2,
  loops: 2,
  coda: 0,
  order: undefined,
  layers: undefined,
  norms: undefined,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  hiddenSize: 32,
  intermediateSize: 48,
  vocabSize: 64,
  maxPositions: 128,
  tied: false,
  activation: 'silu',
  theta: 10_000,
  rope: { kind: 'default' },
  transformers: 5,
  partialRotary: 0.25,
  parallelResidual: true,
  attentionBias: false,
  mlpBias: false,
  slidingWindow: undefined,
  windowed: [true],
  ranks: undefined,
  targets: undefined,
  alpha: undefined,
  exits: undefined,
  dtype: 'f32',
  loraDtype: 'f32',
  shards: 1,
  modelJson: true,
};

/** A tiny model as plain values, before it is files: what tests of malformed input change. */
export interface TinyModel {
  readonly modelJson: Record<string, unknown>;
  readonly config: Record<string, unknown>;
  /** In no particular order. */
  readonly tensors: TinyTensor[];
}

export interface TinyTensor {
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/**
 * Writes a small random model into `folder` (made if need be): model.json, config.json and weights.
 * The same options give the same bytes.
 */
export function makeTinyModel(folder: string, options: Partial<TinyModelOptions> = {}): TinyModel {
  const complete = { ...tinyDefaults, ...options };
  const model = tinyModel(complete);
  writeTinyModel(folder, model, complete);
  return model;
}

/** Writes a model that {@link tinyModel} made, or what a test has made of it. */
export function writeTinyModel(
  folder: string,
  model: TinyModel,
  { shards, modelJson }: Pick<TinyModelOptions, 'shards' | 'modelJson'>,
): void {
  mkdirSync(folder, { recursive: true });
  writeJson(join(folder, 'config.json'), model.config);
  if (modelJson) writeJson(join(folder, 'model.json'), model.modelJson);
  if (shards === 1) {
    writeTinyWeights(join(folder, 'model.safetensors'), model.tensors);
    return;
  }
  const shardName = (i: number) => `model-${i + 1}-of-${shards}.safetensors`;
  const dealt = Array.from({ length: shards }, (_, shard) => model.tensors.filter((_, i) => i % shards === shard));
  dealt.forEach((tensors, i) => {
    writeTinyWeights(join(folder, shardName(i)), tensors);
  });
  const weightMap = Object.fromEntries(dealt.flatMap((tensors, i) => tensors.map((t) => [t.name, shardName(i)])));
  writeJson(join(folder, 'model.safetensors.index.json'), { metadata: {}, weight_map: weightMap });
}

export function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

export function writeTinyWeights(path: string, tensors: readonly TinyTensor[]): void {
  const layout = layoutSafetensors(tensors, { format: 'pt' });
  const bytes = Buffer.alloc(layout.size);
  bytes.set(layout.header);
  const byName = new Map(tensors.map((t) => [t.name, t]));
  for (const { name, offset } of layout.entries) {
    const tensor = byName.get(name)!;
    bytes.set(encodeTensor(tensor.dtype, tensor.values), offset);
  }
  writeFileSync(path, bytes);
}

/** The model as values; see {@link makeTinyModel}. */
export function tinyModel(options: TinyModelOptions): TinyModel {
  const { prelude, block, loops, coda, order, layers, norms, ranks, targets, alpha, exits, shards } = options;
  const linears = linearShapes(options);
  const lora = ranks === undefined ? undefined : { targets: targets ?? linears.map(({ path }) => path), alpha };
  const modelJson = {
    format: 'rtc-model',
    version: 1,
    name: 'tiny',
    config: 'config.json',
    weights: [shards === 1 ? 'model.safetensors' : 'model.safetensors.index.json'],
    recursion: { ...(layers ? { layers } : { prelude, block, loops, coda, order }), norms },
    ...(lora === undefined ? {} : { lora }),
    ...(exits === undefined ? {} : { exits }),
  };
  // Through JSON, so that it is what a reader will see, without undefined in it.
  return structuredClone({
    modelJson: JSON.parse(JSON.stringify(modelJson)),
    config: JSON.parse(JSON.stringify(tinyConfig(options))),
    tensors: tinyTensors(options, lora?.targets ?? []),
  });
}

/** How many layers are stored, and how often each of them runs with something of its own: 0 outside the block. */
export function tinyDepths({
  prelude,
  block,
  loops,
  coda,
  layers,
}: Pick<TinyModelOptions, 'prelude' | 'block' | 'loops' | 'coda' | 'layers'>): readonly number[] {
  const stored = layers ? Math.max(...layers) + 1 : prelude + block + coda;
  return Array.from({ length: stored }, (_, i) => {
    if (layers) return layers.filter((layer) => layer === i).length;
    return i < prelude || i >= prelude + block ? 0 : loops;
  });
}

function tinyConfig(o: TinyModelOptions): Record<string, unknown> {
  const storedLayers = tinyDepths(o).length;
  const neox = o.modelType === 'gpt_neox';
  const qwen = o.modelType === 'qwen2' || o.modelType === 'qwen3';
  const windows = layerWindows(o);
  return {
    model_type: o.modelType,
    hidden_size: hiddenSizeOf(o),
    intermediate_size: o.intermediateSize,
    num_hidden_layers: storedLayers,
    num_attention_heads: o.heads,
    vocab_size: o.vocabSize,
    max_position_embeddings: o.maxPositions,
    hidden_act: o.activation,
    tie_word_embeddings: o.tied,
    bos_token_id: 1,
    eos_token_id: 2,
    [o.transformers === 5 ? 'dtype' : 'torch_dtype']: {
      f32: 'float32',
      f16: 'float16',
      bf16: 'bfloat16',
      f64: 'float64',
    }[o.dtype],
    ...ropeConfig(o),
    ...(neox
      ? { layer_norm_eps: 1e-5, use_parallel_residual: o.parallelResidual }
      : { num_key_value_heads: o.kvHeads, head_dim: o.headDim, rms_norm_eps: 1e-6 }),
    ...(o.modelType === 'mistral' || o.modelType === 'qwen2' ? {} : { attention_bias: o.attentionBias }),
    ...(o.modelType === 'llama' ? { mlp_bias: o.mlpBias } : {}),
    ...(o.modelType === 'mistral' ? { sliding_window: o.slidingWindow ?? null } : {}),
    ...(qwen
      ? {
          use_sliding_window: o.slidingWindow !== undefined,
          sliding_window: o.slidingWindow ?? null,
          layer_types: windows.map((w) => (w === undefined ? 'full_attention' : 'sliding_attention')),
        }
      : {}),
  };
}

/** The window of each stored layer, as the config will say it. */
function layerWindows(o: TinyModelOptions): readonly (number | undefined)[] {
  return tinyDepths(o).map((_, i) => (o.windowed[i % o.windowed.length] ? o.slidingWindow : undefined));
}

function ropeConfig(o: TinyModelOptions): Record<string, unknown> {
  const { rope, theta } = o;
  const neox = o.modelType === 'gpt_neox';
  const scaling =
    rope.kind === 'default'
      ? {}
      : rope.kind === 'linear'
        ? { factor: rope.factor }
        : rope.kind === 'llama3'
          ? {
              factor: rope.factor,
              low_freq_factor: rope.low,
              high_freq_factor: rope.high,
              original_max_position_embeddings: rope.original,
            }
          : { factor: rope.factor, original_max_position_embeddings: rope.original, ...rope.more };
  if (o.transformers === 5) {
    const partial = neox ? { partial_rotary_factor: o.partialRotary } : {};
    return { rope_parameters: { rope_type: rope.kind, rope_theta: theta, ...partial, ...scaling } };
  }
  return {
    ...(neox ? { rotary_emb_base: theta, rotary_pct: o.partialRotary } : { rope_theta: theta }),
    rope_scaling: rope.kind === 'default' ? null : { type: rope.kind, ...scaling },
  };
}

function hiddenSizeOf(o: TinyModelOptions): number {
  return o.modelType === 'gpt_neox' ? o.heads * o.headDim : o.hiddenSize;
}

interface LinearShape {
  readonly path: string;
  readonly out: number;
  readonly in: number;
  readonly bias: boolean;
}

function linearShapes(o: TinyModelOptions): readonly LinearShape[] {
  const hidden = hiddenSizeOf(o);
  const queries = o.heads * o.headDim;
  const keys = o.kvHeads * o.headDim;
  if (o.modelType === 'gpt_neox') {
    return [
      { path: 'attention.query_key_value', out: 3 * hidden, in: hidden, bias: o.attentionBias },
      { path: 'attention.dense', out: hidden, in: hidden, bias: o.attentionBias },
      { path: 'mlp.dense_h_to_4h', out: o.intermediateSize, in: hidden, bias: true },
      { path: 'mlp.dense_4h_to_h', out: hidden, in: o.intermediateSize, bias: true },
    ];
  }
  const attention = o.attentionBias && o.modelType !== 'mistral' && o.modelType !== 'qwen2';
  const qkv = attention || o.modelType === 'qwen2';
  const mlp = o.mlpBias && o.modelType === 'llama';
  return [
    { path: 'self_attn.q_proj', out: queries, in: hidden, bias: qkv },
    { path: 'self_attn.k_proj', out: keys, in: hidden, bias: qkv },
    { path: 'self_attn.v_proj', out: keys, in: hidden, bias: qkv },
    { path: 'self_attn.o_proj', out: hidden, in: queries, bias: attention },
    { path: 'mlp.gate_proj', out: o.intermediateSize, in: hidden, bias: mlp },
    { path: 'mlp.up_proj', out: o.intermediateSize, in: hidden, bias: mlp },
    { path: 'mlp.down_proj', out: hidden, in: o.intermediateSize, bias: mlp },
  ];
}

/**
 * Weights large enough that attention and the exits matter, and no norm is the identity. With tied embeddings the
 * residual stream must outgrow the input embedding, or the model only repeats its last token.
 */
function tinyTensors(o: TinyModelOptions, targets: readonly string[]): TinyTensor[] {
  const uniform = randomStream(`tiny ${o.seed}`);
  const neox = o.modelType === 'gpt_neox';
  const hidden = hiddenSizeOf(o);
  const prefix = neox ? 'gpt_neox' : 'model';
  const tensors: TinyTensor[] = [];
  const add = (name: string, shape: readonly number[], scale: number, mean = 0, dtype = o.dtype) =>
    tensors.push({ name, dtype, shape, values: normals(uniform, shape, scale, mean) });
  const addNorm = (path: string, size: number) => {
    add(`${path}.weight`, [size], 0.2, o.modelType === 'gemma' ? 0 : 1);
    if (neox) add(`${path}.bias`, [size], 0.2);
  };
  const gain = o.tied ? 3 : 1.5;
  add(`${prefix}.${neox ? 'embed_in' : 'embed_tokens'}.weight`, [o.vocabSize, hidden], o.tied ? 0.05 : 0.5);
  for (const [i, depths] of tinyDepths(o).entries()) {
    const layer = `${prefix}.layers.${i}`;
    const addNorms = (path: string, size: number) => {
      if (o.norms !== 'per-depth' || depths === 0) addNorm(path, size);
      else for (let depth = 0; depth < depths; depth++) addNorm(`${path}.depth_${depth}`, size);
    };
    addNorms(`${layer}.input_layernorm`, hidden);
    addNorms(`${layer}.post_attention_layernorm`, hidden);
    if (o.modelType === 'qwen3') {
      addNorms(`${layer}.self_attn.q_norm`, o.headDim);
      addNorms(`${layer}.self_attn.k_norm`, o.headDim);
    }
    for (const linear of linearShapes(o)) {
      const path = `${layer}.${linear.path}`;
      add(`${path}.weight`, [linear.out, linear.in], gain / Math.sqrt(linear.in));
      if (linear.bias) add(`${path}.bias`, [linear.out], 0.2);
      if (!targets.includes(linear.path)) continue;
      o.ranks?.slice(0, depths).forEach((rank, depth) => {
        if (rank === 0) return;
        const factor = (which: string) => `${path}.lora_${which}.depth_${depth}.weight`;
        add(factor('A'), [rank, linear.in], 1 / Math.sqrt(linear.in), 0, o.loraDtype);
        add(factor('B'), [linear.out, rank], 0.5 / Math.sqrt(rank), 0, o.loraDtype);
      });
    }
  }
  addNorm(`${prefix}.${neox ? 'final_layer_norm' : 'norm'}`, hidden);
  const head = neox && o.transformers === 4 ? 'embed_out' : 'lm_head';
  if (!o.tied) add(`${head}.weight`, [o.vocabSize, hidden], gain / Math.sqrt(hidden));
  return tensors;
}

/** Normally distributed as far as a sum of twelve is: a logarithm's last bit differs from one Node to another. */
function normals(uniform: () => number, shape: readonly number[], scale: number, mean: number): readonly number[] {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const normal = () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += uniform();
    return sum;
  };
  return Array.from({ length: count }, () => mean + scale * normal());
}

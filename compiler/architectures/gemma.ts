import { isFloat } from '../../ir/dtype.ts';
import { roundTo } from '../../ir/rounding.ts';
import { readActivation } from './activation.ts';
import type { ConfigFields } from './config-fields.ts';
import type { Activation, DecoderSpec } from './decoder-spec.ts';
import { gatedDecoder } from './gated-decoder.ts';
import { noSlidingWindows } from './sliding-windows.ts';
import type { StoredTensors } from './stored-tensors.ts';

/** Gemma 1, by transformers' `GemmaConfig` and modeling_gemma.py. */
export function readGemma(config: ConfigFields, stored: StoredTensors): DecoderSpec {
  const attention = config.flag('attention_bias', false);
  return gatedDecoder(config, {
    modelType: 'gemma',
    defaults: {
      vocabSize: 256000,
      hiddenSize: 3072,
      intermediateSize: 24576,
      layers: 28,
      heads: 16,
      kvHeads: 16,
      maxPositions: 8192,
      tiedEmbeddings: true,
    },
    headDim: 256,
    activation: readGemmaActivation(config),
    normAddsOne: true,
    qkNorm: false,
    biases: { qkv: attention, output: attention, mlp: false, head: false },
    embeddingScale: (hiddenSize) => embeddingScale(config, stored, hiddenSize),
    slidingWindows: (layers) => noSlidingWindows(config, layers),
  });
}

/**
 * Transformers keeps the scale as a float32 and rounds it once more to the type of the embedding: in bfloat16,
 * sqrt(3072) becomes 55.5. A checkpoint is loaded in the type that its config names, else in the type it is stored in.
 */
function embeddingScale(config: ConfigFields, stored: StoredTensors, hiddenSize: number): number {
  const scale = Math.fround(Math.sqrt(hiddenSize));
  const named = [config.raw('dtype'), config.raw('torch_dtype')].find((name) => typeof name === 'string');
  if (named === 'bfloat16') return roundTo('bf16', scale);
  if (named === 'float16') return roundTo('f16', scale);
  if (named !== undefined) return scale;
  const dtype = stored.dtypeOf('model.embed_tokens.weight');
  return dtype !== undefined && isFloat(dtype) ? roundTo(dtype, scale) : scale;
}

/**
 * `hidden_act`, where "gelu" means the tanh approximation: a legacy of the official releases. `hidden_activation`,
 * which some versions of transformers read instead, may only say the same.
 */
function readGemmaActivation(config: ConfigFields): Activation {
  const activation =
    config.text('hidden_act', 'gelu_pytorch_tanh') === 'gelu'
      ? 'gelu_tanh'
      : readActivation(config, 'hidden_act', 'gelu_pytorch_tanh');
  if (config.has('hidden_activation') && readActivation(config, 'hidden_activation', '') !== activation) {
    const message = `hidden_activation is "${config.raw('hidden_activation')}", but hidden_act means ${activation}.`;
    const hint = 'Versions of transformers choose differently; make them agree.';
    config.error('contradiction', 'hidden_activation', message, hint);
  }
  return activation;
}

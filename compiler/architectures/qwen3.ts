import { readActivation } from './activation.ts';
import type { ConfigFields } from './config-fields.ts';
import type { DecoderSpec } from './decoder-spec.ts';
import { gatedDecoder } from './gated-decoder.ts';
import { slidingWindowsByLayer } from './sliding-windows.ts';

/** Qwen3, by transformers' `Qwen3Config` and modeling_qwen3.py: norms on q and k, heads of 128 unless told. */
export function readQwen3(config: ConfigFields): DecoderSpec {
  const attention = config.flag('attention_bias', false);
  return gatedDecoder(config, {
    modelType: 'qwen3',
    defaults: {
      vocabSize: 151936,
      hiddenSize: 4096,
      intermediateSize: 22016,
      layers: 32,
      heads: 32,
      kvHeads: 32,
      maxPositions: 32768,
      tiedEmbeddings: false,
    },
    headDim: 128,
    activation: readActivation(config, 'hidden_act', 'silu'),
    normAddsOne: false,
    qkNorm: true,
    biases: { qkv: attention, output: attention, mlp: false, head: false },
    embeddingScale: () => undefined,
    slidingWindows: (layers) => slidingWindowsByLayer(config, layers),
  });
}

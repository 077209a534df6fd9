import { readActivation } from './activation.ts';
import type { ConfigFields } from './config-fields.ts';
import type { DecoderSpec } from './decoder-spec.ts';
import { gatedDecoder } from './gated-decoder.ts';
import { slidingWindowsByLayer } from './sliding-windows.ts';

/** Qwen2 and 2.5, by transformers' `Qwen2Config` and modeling_qwen2.py: q, k and v always have biases. */
export function readQwen2(config: ConfigFields): DecoderSpec {
  return gatedDecoder(config, {
    modelType: 'qwen2',
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
    headDim: undefined,
    activation: readActivation(config, 'hidden_act', 'silu'),
    normAddsOne: false,
    qkNorm: false,
    biases: { qkv: true, output: false, mlp: false, head: false },
    embeddingScale: () => undefined,
    slidingWindows: (layers) => slidingWindowsByLayer(config, layers),
  });
}

import { readActivation } from './activation.ts';
import type { ConfigFields } from './config-fields.ts';
import type { DecoderSpec } from './decoder-spec.ts';
import { gatedDecoder } from './gated-decoder.ts';
import { noSlidingWindows } from './sliding-windows.ts';

/** Llama 1 to 3, by transformers' `LlamaConfig` and modeling_llama.py. */
export function readLlama(config: ConfigFields): DecoderSpec {
  const attention = config.flag('attention_bias', false);
  return gatedDecoder(config, {
    modelType: 'llama',
    defaults: {
      vocabSize: 32000,
      hiddenSize: 4096,
      intermediateSize: 11008,
      layers: 32,
      heads: 32,
      kvHeads: undefined,
      maxPositions: 2048,
      tiedEmbeddings: false,
    },
    headDim: undefined,
    activation: readActivation(config, 'hidden_act', 'silu'),
    normAddsOne: false,
    qkNorm: false,
    biases: { qkv: attention, output: attention, mlp: config.flag('mlp_bias', false), head: false },
    embeddingScale: () => undefined,
    slidingWindows: (layers) => noSlidingWindows(config, layers),
  });
}

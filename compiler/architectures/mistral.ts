import { readActivation } from './activation.ts';
import type { ConfigFields } from './config-fields.ts';
import type { DecoderSpec } from './decoder-spec.ts';
import { gatedDecoder } from './gated-decoder.ts';
import { oneSlidingWindow } from './sliding-windows.ts';

/** Mistral, by transformers' `MistralConfig` and modeling_mistral.py: every layer sees the same window. */
export function readMistral(config: ConfigFields): DecoderSpec {
  return gatedDecoder(config, {
    modelType: 'mistral',
    defaults: {
      vocabSize: 32000,
      hiddenSize: 4096,
      intermediateSize: 14336,
      layers: 32,
      heads: 32,
      kvHeads: 8,
      maxPositions: 131072,
      tiedEmbeddings: false,
    },
    headDim: undefined,
    activation: readActivation(config, 'hidden_act', 'silu'),
    normAddsOne: false,
    qkNorm: false,
    biases: { qkv: false, output: false, mlp: false, head: false },
    embeddingScale: () => undefined,
    slidingWindows: (layers) => oneSlidingWindow(config, layers, 4096),
  });
}

import { arithmetic, geluFunctions, mapTensor, sigmoid } from '../../../ir/interpret/elementwise.ts';
import type { Tensor } from '../../../ir/interpret/tensor.ts';
import type { NodeKernel } from './node-call.ts';
import { skipNormKernels } from './norm-kernels.ts';
import { rotaryEmbedding } from './rotary-embedding.ts';

/** Operators of com.microsoft. */
export const microsoftKernels: Readonly<Record<string, NodeKernel>> = {
  ...skipNormKernels,
  Gelu: ({ input }) => [mapTensor(input(0), geluFunctions.erf)],
  QuickGelu: ({ input, float }) => {
    const alpha = float('alpha', 1.702);
    return [mapTensor(input(0), (x) => x * sigmoid(alpha * x))];
  },
  FastGelu: ({ input, inputs }) => [mapTensor(biased(input(0), inputs[1]), geluFunctions.tanh)],
  BiasGelu: ({ input }) => [mapTensor(biased(input(0), input(1)), geluFunctions.erf)],
  RotaryEmbedding: rotaryEmbedding,
};

function biased(x: Tensor, bias: Tensor | undefined): Tensor {
  return bias ? arithmetic('add', x, bias) : x;
}

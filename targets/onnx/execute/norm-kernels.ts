import { arithmetic } from '../../../ir/interpret/elementwise.ts';
import { reshape } from '../../../ir/interpret/movement.ts';
import { roundTensor } from '../../../ir/interpret/round-tensor.ts';
import { countOf, type Tensor } from '../../../ir/interpret/tensor.ts';
import { layerNorm, rmsNorm } from '../../../ir/interpret/transformer.ts';
import { type NodeCall, type NodeKernel, refuse } from './node-call.ts';

/** LayerNormalization and RMSNormalization of ai.onnx, and ONNX Runtime's own name for the latter. */
export const normKernels: Readonly<Record<string, NodeKernel>> = {
  LayerNormalization: (call) => [
    overLastAxes(call, (x, scale, epsilon) => layerNorm(x, scale, flat(call.inputs[2]), epsilon)),
  ],
  RMSNormalization: (call) => [overLastAxes(call, rmsNorm)],
  SimplifiedLayerNormalization: (call) => [overLastAxes(call, rmsNorm)],
};

/** Norms of com.microsoft that add a residual first, and give the sum as their fourth output. */
export const skipNormKernels: Readonly<Record<string, NodeKernel>> = {
  SkipSimplifiedLayerNormalization: (call) => {
    const sum = residual(call, call.inputs[3]);
    return [rmsNorm(sum, call.input(2), call.float('epsilon')), undefined, undefined, sum];
  },
  SkipLayerNormalization: (call) => {
    const sum = residual(call, call.inputs[4]);
    return [layerNorm(sum, call.input(2), call.inputs[3], call.float('epsilon')), undefined, undefined, sum];
  },
};

function residual({ input }: NodeCall, bias: Tensor | undefined): Tensor {
  const sum = arithmetic('add', input(0), input(1));
  return roundTensor(bias ? arithmetic('add', sum, bias) : sum);
}

/** Normalizes over `axis` and all behind it as one. */
function overLastAxes(call: NodeCall, norm: (x: Tensor, scale: Tensor, epsilon: number) => Tensor): Tensor {
  const x = call.input(0);
  const axis = call.axis(x.shape.length, -1);
  const width = countOf(x.shape.slice(axis));
  const scale = flat(call.input(1));
  if (scale?.data.length !== width || scale.dtype !== x.dtype)
    return refuse(`scales [${x.shape}] by [${scale?.shape}]`);
  const rows = reshape(x, [countOf(x.shape.slice(0, axis)), width]);
  return reshape(norm(rows, scale, call.float('epsilon', 1e-5)), x.shape);
}

function flat<T extends Tensor | undefined>(x: T): T {
  return (x && reshape(x, [x.data.length])) as T;
}

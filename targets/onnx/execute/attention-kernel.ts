import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { broadcastDims } from '../../../ir/tensor-type.ts';
import { type NodeKernel, refuse } from './node-call.ts';

/** Attention of opset 23, as far as rtc writes it: heads in an axis of their own, a mask, no past, one output. */
export const attentionKernels: Readonly<Record<string, NodeKernel>> = {
  Attention: ({ node, inputs, input, float, int }) => {
    const [q, k, v] = [input(0), input(1), input(2)];
    const mask = inputs[3];
    if ([q, k, v].some(({ shape }) => shape.length !== 4)) refuse('attends in other than four axes');
    if (inputs.slice(4).some((more) => more) || node.outputs.slice(1).some((name) => name !== ''))
      refuse('keeps a past of its own');
    for (const name of ['is_causal', 'qk_matmul_output_mode', 'softmax_precision']) {
      if (int(name, 0) !== 0) refuse(`has an attribute ${name}`);
    }
    if (float('softcap', 0) !== 0) refuse('has a softcap');
    checkShapes(q, k, v);
    const scale = float('scale', 1 / Math.sqrt(q.shape[3]!));
    return [attend(q, k, v, mask && biasAt(mask, [q.shape[0]!, q.shape[1]!, q.shape[2]!, k.shape[2]!]), scale)];
  },
};

/** What is added to the score of a query head, a query and a key: row · keys + key, rows as in the queries. */
type BiasAt = (row: number, key: number) => number;

function checkShapes(q: Tensor, k: Tensor, v: Tensor): void {
  const [batch, heads, , width] = q.shape;
  const fits =
    k.shape[0] === batch &&
    k.shape[3] === width &&
    `${v.shape.slice(0, 3)}` === `${k.shape.slice(0, 3)}` &&
    heads! % k.shape[1]! === 0;
  if (!fits || k.dtype !== q.dtype || v.dtype !== q.dtype)
    refuse(`attends from ${q.dtype}[${q.shape}] to ${k.dtype}[${k.shape}] and ${v.dtype}[${v.shape}]`);
}

/** A mask broadcast to [batch, heads, queries, keys]: truths say who is seen, numbers are added. */
function biasAt(mask: Tensor, to: readonly number[]): BiasAt {
  if (`${broadcastDims(mask.shape, to)}` !== `${to}`) refuse(`is masked by [${mask.shape}] where it needs [${to}]`);
  const sizes = [...to.map(() => 1), ...mask.shape].slice(-4) as [number, number, number, number];
  const [, heads, queries] = to as readonly [number, number, number, number];
  const at = (size: number, index: number): number => (size === 1 ? 0 : index);
  return (row, key) => {
    const [batch, head, query] = [
      Math.floor(row / (heads * queries)),
      Math.floor(row / queries) % heads,
      row % queries,
    ];
    const outer = (at(sizes[0], batch) * sizes[1] + at(sizes[1], head)) * sizes[2] + at(sizes[2], query);
    const value = mask.data[outer * sizes[3] + at(sizes[3], key)]!;
    return mask.dtype === 'bool' ? (value === 0 ? Number.NEGATIVE_INFINITY : 0) : value;
  };
}

function attend(q: Tensor, k: Tensor, v: Tensor, bias: BiasAt | undefined, scale: number): Tensor {
  const [batch, heads, queries, width] = q.shape as [number, number, number, number];
  const [, kvHeads, keys, out] = v.shape as [number, number, number, number];
  const result = makeTensor(q.dtype, [batch, heads, queries, out]);
  const scores = new Float64Array(keys);
  for (let row = 0; row < batch * heads * queries; row++) {
    const head = Math.floor(row / queries);
    const kv = Math.floor(head / heads) * kvHeads + Math.floor(((head % heads) * kvHeads) / heads);
    for (let key = 0; key < keys; key++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += q.data[row * width + i]! * k.data[(kv * keys + key) * width + i]!;
      scores[key] = scale * sum + (bias?.(row, key) ?? 0);
    }
    const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    let total = 0;
    for (let key = 0; key < keys; key++) {
      scores[key] = Math.exp(scores[key]! - largest);
      total += scores[key]!;
    }
    for (let key = 0; key < keys; key++) {
      const share = scores[key]! / total;
      for (let e = 0; e < out; e++) result.data[row * out + e]! += share * v.data[(kv * keys + key) * out + e]!;
    }
  }
  return result;
}

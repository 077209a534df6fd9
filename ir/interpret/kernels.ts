import type { Dim } from '../dims.ts';
import type { AttrsOf } from '../graph.ts';
import type { OpKind } from '../op-table.ts';
import {
  arithmetic,
  castTensor,
  geluFunctions,
  mapTensor,
  truthFunctions,
  unaryFunctions,
  where,
  zipTensors,
} from './elementwise.ts';
import { concat, expand, gather, putRows, reshape, select, slice, stack, transpose } from './movement.ts';
import { pagedAttention } from './paged-attention.ts';
import { linear, lowRank, lowRankByDepth, matmul } from './products.ts';
import { cumsum, reduceMax, reduceMean, reduceSum, softmax, topK } from './reductions.ts';
import { makeTensor, scalar, type Tensor } from './tensor.ts';
import { attention, layerNorm, rmsNorm, rotary } from './transformer.ts';

/**
 * Computes one operation in float64. A result is a new array, or the very array of an operand.
 * `size` tells what a dim is in this run.
 */
export type Kernel<K extends OpKind> = (
  operands: readonly Tensor[],
  attrs: AttrsOf<K>,
  size: (dim: Dim) => number,
) => readonly Tensor[];

/** Every operation but `loop`, which is control and needs the interpreter. */
export const kernels: { readonly [K in Exclude<OpKind, 'loop'>]: Kernel<K> } = {
  constant: (_, { dtype, dims, values }) => [makeTensor(dtype, dims, values)],
  size: (_, { of }, size) => [scalar('i64', size(of))],
  iota: (_, { size: count }, size) => [
    makeTensor(
      'i64',
      [size(count)],
      Array.from({ length: size(count) }, (_, i) => i),
    ),
  ],

  add: ([a, b]) => [arithmetic('add', a!, b!)],
  sub: ([a, b]) => [arithmetic('sub', a!, b!)],
  mul: ([a, b]) => [arithmetic('mul', a!, b!)],
  div: ([a, b]) => [arithmetic('div', a!, b!)],
  max: ([a, b]) => [arithmetic('max', a!, b!)],
  min: ([a, b]) => [arithmetic('min', a!, b!)],
  neg: unary('neg'),
  exp: unary('exp'),
  log: unary('log'),
  sqrt: unary('sqrt'),
  reciprocal: unary('reciprocal'),
  cos: unary('cos'),
  sin: unary('sin'),
  tanh: unary('tanh'),
  sigmoid: unary('sigmoid'),
  erf: unary('erf'),
  relu: unary('relu'),
  silu: unary('silu'),
  gelu: ([x], { form }) => [mapTensor(x!, geluFunctions[form])],
  cast: ([x], { to }) => [castTensor(x!, to)],

  equal: truth('equal'),
  less: truth('less'),
  less_equal: truth('less_equal'),
  and: truth('and'),
  or: truth('or'),
  not: unary('not'),
  where: ([condition, a, b]) => [where(condition!, a!, b!)],

  matmul: ([a, b]) => [matmul(a!, b!)],
  linear: ([x, weight, bias]) => [linear(x!, weight!, bias)],
  low_rank: ([x, a, b, scale]) => [lowRank(x!, a!, b!, scale!)],
  low_rank_by_depth: ([x, a, b, scale, depth]) => [lowRankByDepth(x!, a!, b!, scale!, depth!)],

  reshape: ([x], { dims }, size) => [reshape(x!, dims.map(size))],
  expand: ([x], { dims }, size) => [expand(x!, dims.map(size))],
  transpose: ([x], { perm }) => [transpose(x!, perm)],
  concat: (inputs, { axis }) => [concat(inputs, axis)],
  stack: (inputs) => [stack(inputs)],
  slice: ([x], { axis, start, end }, size) => [slice(x!, axis, size(start), size(end) - size(start))],
  split: ([x], { axis, sizes }, size) => {
    let start = 0;
    return sizes.map(size).map((count) => {
      const piece = slice(x!, axis, start, count);
      start += count;
      return piece;
    });
  },
  select: ([x], { axis, index }) => [select(x!, axis, index)],
  gather: ([x, indices], { axis }) => [gather(x!, indices!, axis)],
  put_rows: ([x, indices, updates]) => [putRows(x!, indices!, updates!)],

  reduce_sum: ([x], { axis, keep }) => [reduceSum(x!, axis, keep)],
  reduce_mean: ([x], { axis, keep }) => [reduceMean(x!, axis, keep)],
  reduce_max: ([x], { axis, keep }) => [reduceMax(x!, axis, keep)],
  cumsum: ([x], { axis }) => [cumsum(x!, axis)],
  softmax: ([x], { axis }) => [softmax(x!, axis)],
  top_k: ([x], { k }) => topK(x!, k),
  arg_max: ([x]) => [reshape(topK(x!, 1)[1], x!.shape.slice(0, -1))],

  rms_norm: ([x, scale], { epsilon }) => [rmsNorm(x!, scale!, epsilon)],
  add_rms_norm: ([x, skip, scale], { epsilon }) => {
    const sum = arithmetic('add', x!, skip!);
    return [rmsNorm(sum, scale!, epsilon), sum];
  },
  layer_norm: ([x, scale, bias], { epsilon }) => [layerNorm(x!, scale!, bias, epsilon)],
  rotary: ([x, cos, sin]) => [rotary(x!, cos!, sin!)],
  rotary_lookup: ([x, cos, sin, rows]) => [rotary(x!, gather(cos!, rows!, 0), gather(sin!, rows!, 0))],
  attention: ([q, k, v, mask], { scale }) => [attention(q!, k!, v!, mask!, scale)],
  paged_attention: (operands, { scale }) => [pagedAttention(operands, scale)],
};

function unary(kind: keyof typeof unaryFunctions) {
  return ([x]: readonly Tensor[]) => [mapTensor(x!, unaryFunctions[kind])];
}

function truth(kind: keyof typeof truthFunctions) {
  return ([a, b]: readonly Tensor[]) => [zipTensors(a!, b!, truthFunctions[kind], 'bool')];
}

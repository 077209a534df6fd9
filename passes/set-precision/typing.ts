import type { OpKind } from '../../ir/op-table.ts';

/**
 * How an operation's floats are typed: in the compute type, in f32, or as what it is given; `lookup`: a table is in the
 * compute type, anything else as it is; `free` of choice, as it says its type itself.
 */
export type Typing = 'compute' | 'f32' | 'follow' | 'lookup' | 'free';

const typings: Readonly<Record<Exclude<OpKind, 'loop'>, Typing>> = {
  constant: 'follow',
  size: 'free',
  iota: 'free',
  add: 'follow',
  sub: 'follow',
  mul: 'follow',
  div: 'follow',
  max: 'follow',
  min: 'follow',
  neg: 'follow',
  exp: 'f32',
  log: 'f32',
  sqrt: 'f32',
  reciprocal: 'f32',
  cos: 'f32',
  sin: 'f32',
  tanh: 'follow',
  sigmoid: 'follow',
  erf: 'follow',
  relu: 'follow',
  silu: 'follow',
  gelu: 'follow',
  cast: 'free',
  equal: 'f32',
  less: 'f32',
  less_equal: 'f32',
  and: 'free',
  or: 'free',
  not: 'free',
  where: 'follow',
  matmul: 'compute',
  linear: 'compute',
  low_rank: 'compute',
  low_rank_by_depth: 'compute',
  reshape: 'follow',
  expand: 'follow',
  transpose: 'follow',
  concat: 'follow',
  stack: 'follow',
  slice: 'follow',
  split: 'follow',
  select: 'follow',
  gather: 'lookup',
  put_rows: 'follow',
  reduce_sum: 'f32',
  reduce_mean: 'f32',
  reduce_max: 'follow',
  cumsum: 'f32',
  softmax: 'f32',
  top_k: 'follow',
  arg_max: 'f32',
  rms_norm: 'f32',
  add_rms_norm: 'f32',
  layer_norm: 'f32',
  rotary: 'compute',
  rotary_lookup: 'compute',
  attention: 'compute',
  paged_attention: 'compute',
};

export function typingOf(kind: OpKind): Typing {
  return kind === 'loop' ? 'free' : typings[kind];
}

import type { DType } from '../dtype.ts';
import { broadcastDims, formatType, tensor } from '../tensor-type.ts';
import { binary, cannotBroadcast, logical, unary } from './rules.ts';
import type { OpSpec } from './spec.ts';

/** Operations on each element by itself. */
export const elementwiseOps = {
  // Element by element
  add: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  sub: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  mul: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  div: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  max: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  min: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  neg: { operands: ['x'], attrs: {}, infer: unary('float') },
  exp: { operands: ['x'], attrs: {}, infer: unary('float') },
  log: { operands: ['x'], attrs: {}, infer: unary('float') },
  sqrt: { operands: ['x'], attrs: {}, infer: unary('float') },
  reciprocal: { operands: ['x'], attrs: {}, infer: unary('float') },
  cos: { operands: ['x'], attrs: {}, infer: unary('float') },
  sin: { operands: ['x'], attrs: {}, infer: unary('float') },
  tanh: { operands: ['x'], attrs: {}, infer: unary('float') },
  sigmoid: { operands: ['x'], attrs: {}, infer: unary('float') },
  erf: { operands: ['x'], attrs: {}, infer: unary('float') },
  relu: { operands: ['x'], attrs: {}, infer: unary('float') },
  /** x · sigmoid(x). */
  silu: { operands: ['x'], attrs: {}, infer: unary('float') },
  /** `erf`: x · (1 + erf(x / √2)) / 2. `tanh`: its approximation. `sigmoid`: x · sigmoid(1.702 x), OpenAI's quick GELU. */
  gelu: { operands: ['x'], attrs: { form: ['erf', 'tanh', 'sigmoid'] }, infer: unary('float') },
  /** Rounds to nearest even; floats become integers by truncation, anything but 0 becomes true. */
  cast: { operands: ['x'], attrs: { to: 'dtype' }, infer: ([x], { to }) => [tensor(to as DType, x!.dims)] },

  // Truth
  equal: { operands: ['a', 'b'], attrs: {}, infer: binary('bool') },
  less: { operands: ['a', 'b'], attrs: {}, infer: binary('bool') },
  less_equal: { operands: ['a', 'b'], attrs: {}, infer: binary('bool') },
  and: { operands: ['a', 'b'], attrs: {}, infer: logical },
  or: { operands: ['a', 'b'], attrs: {}, infer: logical },
  not: { operands: ['x'], attrs: {}, infer: unary('bool') },
  where: {
    operands: ['condition', 'a', 'b'],
    attrs: {},
    infer: ([condition, a, b]) => {
      if (condition!.dtype !== 'bool') return `chooses by ${formatType(condition!)}, which is not bool`;
      if (a!.dtype !== b!.dtype) return `chooses between ${formatType(a!)} and ${formatType(b!)}`;
      const both = broadcastDims(a!.dims, b!.dims);
      const dims = both && broadcastDims(condition!.dims, both);
      return dims ? [tensor(a!.dtype, dims)] : cannotBroadcast(condition!, a!, b!);
    },
  },
} as const satisfies Record<string, OpSpec>;

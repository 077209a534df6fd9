import { type DType, isFloat } from '../dtype.ts';
import { invariant } from '../invariant.ts';
import { broadcastDims } from '../tensor-type.ts';
import { erf } from './erf.ts';
import { expand } from './movement.ts';
import { formatShape, type Tensor } from './tensor.ts';

/** What each unary operation does to one number. */
export const unaryFunctions = {
  neg: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  cos: Math.cos,
  sin: Math.sin,
  tanh: Math.tanh,
  sigmoid,
  erf,
  relu: (x) => Math.max(x, 0),
  silu: (x) => x * sigmoid(x),
  not: (x) => (x === 0 ? 1 : 0),
} as const satisfies Record<string, (x: number) => number>;

/** What each form of GELU does to one number. */
export const geluFunctions = {
  erf: (x) => (x * (1 + erf(x / Math.SQRT2))) / 2,
  tanh: (x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))) / 2,
  sigmoid: (x) => x * sigmoid(1.702 * x),
} as const satisfies Record<string, (x: number) => number>;

/** What each arithmetic operation does to two numbers. Integers divide as in C: the quotient loses its fraction. */
export const binaryFunctions = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: Math.max,
  min: Math.min,
} as const satisfies Record<string, (a: number, b: number) => number>;

/** What each comparison and each connective of truths gives: 0 or 1. */
export const truthFunctions = {
  equal: (a, b) => (a === b ? 1 : 0),
  less: (a, b) => (a < b ? 1 : 0),
  less_equal: (a, b) => (a <= b ? 1 : 0),
  and: (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
  or: (a, b) => (a !== 0 || b !== 0 ? 1 : 0),
} as const satisfies Record<string, (a: number, b: number) => number>;

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** `f` of every element. */
export function mapTensor(x: Tensor, f: (x: number) => number, dtype: DType = x.dtype): Tensor {
  const data = new Float64Array(x.data.length);
  for (let i = 0; i < data.length; i++) data[i] = f(x.data[i]!);
  return { dtype, shape: x.shape, data };
}

/** `f` of every pair of elements, after broadcasting. */
export function zipTensors(a: Tensor, b: Tensor, f: (a: number, b: number) => number, dtype: DType = a.dtype): Tensor {
  const shape = broadcastShape(a, b);
  const left = expand(a, shape).data;
  const right = expand(b, shape).data;
  const data = new Float64Array(left.length);
  for (let i = 0; i < data.length; i++) data[i] = f(left[i]!, right[i]!);
  return { dtype, shape, data };
}

/** Arithmetic on two tensors of one type. */
export function arithmetic(kind: keyof typeof binaryFunctions, a: Tensor, b: Tensor): Tensor {
  const result = zipTensors(a, b, binaryFunctions[kind]);
  return kind === 'div' && !isFloat(a.dtype) ? mapTensor(result, Math.trunc) : result;
}

/** Elements of `a` where `condition` is not 0, of `b` elsewhere. */
export function where(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  const shape = broadcastShape(condition, a, b);
  const [choices, left, right] = [condition, a, b].map((x) => expand(x, shape).data) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const data = new Float64Array(choices.length);
  for (let i = 0; i < data.length; i++) data[i] = choices[i] !== 0 ? left[i]! : right[i]!;
  return { dtype: a.dtype, shape, data };
}

/**
 * To another type. Floats become integers by truncation, anything but 0 becomes true. Towards a float type the numbers
 * stay as they are: whether they are rounded is for the caller to say.
 */
export function castTensor(x: Tensor, to: DType): Tensor {
  if (to === 'bool') return x.dtype === 'bool' ? x : mapTensor(x, (v) => (v === 0 ? 0 : 1), to);
  if (isFloat(x.dtype) && !isFloat(to)) return mapTensor(x, Math.trunc, to);
  return { dtype: to, shape: x.shape, data: x.data };
}

/** The shape that all broadcast to. */
export function broadcastShape(...tensors: readonly Tensor[]): readonly number[] {
  let shape: readonly number[] = [];
  for (const x of tensors) {
    const both = broadcastDims(shape, x.shape);
    invariant(both, `cannot broadcast ${tensors.map(formatShape).join(' and ')}`);
    shape = both as readonly number[];
  }
  return shape;
}

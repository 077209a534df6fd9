import type { DType } from '../../../ir/dtype.ts';
import type { AttrsOf } from '../../../ir/graph.ts';
import { countOf, makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import type { OpKind } from '../../../ir/op-table.ts';
import { randomTensor } from '../../support/random-tensors.ts';

/** One operation on given tensors, and what it has to give, by hand or by a formula that shares no code with the kernel. */
export interface KernelCase<K extends OpKind> {
  readonly title?: string;
  readonly operands: readonly Tensor[];
  readonly attrs: AttrsOf<K>;
  /** Names for sizes: every axis of that size of every operand gets the name. */
  readonly sizes?: Readonly<Record<string, number>>;
  readonly expected: readonly Tensor[];
}

export type KernelCases<K extends OpKind> = { readonly [Kind in K]: readonly KernelCase<Kind>[] };

export function f32(shape: readonly number[], values: readonly number[]): Tensor {
  return makeTensor('f32', shape, values);
}

export function i64(shape: readonly number[], values: readonly number[]): Tensor {
  return makeTensor('i64', shape, values);
}

export function bool(shape: readonly number[], values: readonly number[]): Tensor {
  return makeTensor('bool', shape, values);
}

/** Floats between −1 and 1. */
export function random(shape: readonly number[], seed: string): Tensor {
  return randomTensor('f32', shape, seed);
}

/** One element, found the slow way. Axes of size 1 stand for any index, and leading indices may be surplus. */
export function at(x: Tensor, ...index: readonly number[]): number {
  const own = index.slice(index.length - x.shape.length);
  let place = 0;
  for (const [axis, size] of x.shape.entries()) place = place * size + (size === 1 ? 0 : own[axis]!);
  return x.data[place]!;
}

/** A tensor whose elements a formula gives. */
export function from(shape: readonly number[], formula: (...index: number[]) => number, dtype: DType = 'f32'): Tensor {
  const values: number[] = [];
  for (let n = 0; n < countOf(shape); n++) {
    let rest = n;
    const index = shape.map((_, axis) => {
      const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
      const i = Math.floor(rest / inner);
      rest -= i * inner;
      return i;
    });
    values.push(formula(...index));
  }
  return makeTensor(dtype, shape, values);
}

/** The sum of a formula over 0 … count−1. */
export function sum(count: number, formula: (i: number) => number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += formula(i);
  return total;
}

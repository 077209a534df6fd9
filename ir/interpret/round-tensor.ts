import { type DType, isFloat } from '../dtype.ts';
import { roundTo } from '../rounding.ts';
import type { Tensor } from './tensor.ts';

/** The tensor with each number as near as its dtype comes to it; integers and truths are exact already. */
export function roundTensor(x: Tensor): Tensor {
  const { dtype } = x;
  if (!isFloat(dtype) || dtype === 'f64') return x;
  const data = new Float64Array(x.data.length);
  // Nearly everything is f32, which has an instruction of its own.
  if (dtype === 'f32') for (let i = 0; i < data.length; i++) data[i] = Math.fround(x.data[i]!);
  else for (let i = 0; i < data.length; i++) data[i] = roundTo(dtype, x.data[i]!);
  return { ...x, data };
}

/** As {@link roundTensor}, for what was made of `operands`, rounded already: numbers that were only moved or widened are. */
export function roundResult(x: Tensor, operands: readonly (Tensor | undefined)[]): Tensor {
  return operands.some((o) => o?.data === x.data && holds(x.dtype, o.dtype)) ? x : roundTensor(x);
}

/** True when every number of type `narrow` is one of type `wide`. */
function holds(wide: DType, narrow: DType): boolean {
  return wide === narrow || wide === 'f64' || (wide === 'f32' && (narrow === 'f16' || narrow === 'bf16'));
}

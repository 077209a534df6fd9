import type { TensorData } from '../session.ts';

/** Hidden states or cache entries: Float32Array, or the bits of float16. */
export type Numbers = Float32Array | Uint16Array;

/** The numbers of a tensor: float16 as bits, also where JavaScript has a Float16Array and the binding returns one. */
export function numbersOf(data: TensorData): Numbers {
  if (data instanceof Float32Array || data instanceof Uint16Array) return data;
  return new Uint16Array(data.buffer, data.byteOffset, data.length);
}

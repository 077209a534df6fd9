import type { TensorData } from '../session.ts';

/** Hidden states or cache entries: Float32Array, or the bits of float16. */
export type Numbers = Float32Array | Uint16Array;

/** The numbers of a tensor: float16 as bits, also where JavaScript has a Float16Array and the binding returns one. */
export function numbersOf(data: TensorData): Numbers {
  if (data instanceof Float32Array || data instanceof Uint16Array) return data;
  return new Uint16Array(data.buffer, data.byteOffset, data.length);
}

/** Whether numbers from `start` to before `end` are neither infinite nor NaN. */
export function allFinite(numbers: Numbers, start: number, end: number): boolean {
  if (numbers instanceof Uint16Array) {
    for (let i = start; i < end; i++) if ((numbers[i]! & 0x7c00) === 0x7c00) return false;
    return true;
  }
  // x - x is 0, or NaN; four sums, as one would wait for itself.
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = start;
  for (; i + 3 < end; i += 4) {
    a += numbers[i]! - numbers[i]!;
    b += numbers[i + 1]! - numbers[i + 1]!;
    c += numbers[i + 2]! - numbers[i + 2]!;
    d += numbers[i + 3]! - numbers[i + 3]!;
  }
  for (; i < end; i++) a += numbers[i]! - numbers[i]!;
  return a + b + c + d === 0;
}

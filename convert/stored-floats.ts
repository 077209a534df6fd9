import { endianness } from 'node:os';
import { f16ToNumber, numberToF16 } from '../ir/rounding.ts';
import { decodeTensor, encodeTensor } from '../ir/tensor-bytes.ts';

/** The types that weights are stored in; every number of theirs is one in float32. */
export type StoredFloat = 'f32' | 'f16' | 'bf16';

/** As `decodeTensor`, into float32 and dozens of times faster: whole checkpoints go through here. */
export function decodeFloats(dtype: StoredFloat, bytes: Uint8Array): Float32Array {
  if (endianness() !== 'LE') return Float32Array.from(decodeTensor(dtype, bytes));
  // Not slice, which copies nothing of a Buffer.
  if (dtype === 'f32') return new Float32Array(new Uint8Array(bytes).buffer);
  const even = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  const halves = new Uint16Array(even.buffer, even.byteOffset, even.length / 2);
  const bits = new Uint32Array(halves.length);
  const floats = new Float32Array(bits.buffer);
  if (dtype === 'bf16') for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  else {
    for (let i = 0; i < halves.length; i++) {
      const half = halves[i]!;
      const exponent = (half >>> 10) & 0x1f;
      // Subnormals, infinities and NaN are rare among weights.
      if (exponent === 0 || exponent === 0x1f) floats[i] = f16ToNumber(half);
      else bits[i] = ((half & 0x8000) << 16) | ((exponent + 112) << 23) | ((half & 0x3ff) << 13);
    }
  }
  return floats;
}

/** As `encodeTensor`, dozens of times faster: float64 numbers rounded once, to the nearest, halves to even. */
export function encodeFloats(dtype: StoredFloat, values: Float64Array | Float32Array): Uint8Array {
  if (endianness() !== 'LE') return encodeTensor(dtype, values);
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  if (dtype === 'f32') return new Uint8Array(floats.slice().buffer);
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const halves = new Uint16Array(values.length);
  if (dtype === 'bf16') {
    for (let i = 0; i < halves.length; i++) {
      const word = bits[i]!;
      const rest = word & 0xffff;
      // Going through float32 rounds twice; that shows only where the first time ended on the middle exactly.
      const up = rest === 0x8000 ? aboveMiddle(values[i]!, floats[i]!, (word >>> 16) & 1) : rest > 0x8000 ? 1 : 0;
      halves[i] = (word & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (word >>> 16) + up;
    }
    return new Uint8Array(halves.buffer);
  }
  for (let i = 0; i < halves.length; i++) {
    const word = bits[i]!;
    const exponent = (word >>> 23) & 0xff;
    if (exponent < 113 || exponent > 141) {
      // Subnormal, near the largest, or none: rare among weights.
      halves[i] = numberToF16(values[i]!);
      continue;
    }
    const rest = word & 0x1fff;
    const up = rest === 0x1000 ? aboveMiddle(values[i]!, floats[i]!, (word >>> 13) & 1) : rest > 0x1000 ? 1 : 0;
    halves[i] = ((word >>> 16) & 0x8000) | ((((exponent - 112) << 10) | ((word >>> 13) & 0x3ff)) + up);
  }
  return new Uint8Array(halves.buffer);
}

/** 1 where the number, whose float32 lies in the middle of two that can be stored, goes to the one further from 0. */
function aboveMiddle(exact: number, float: number, odd: number): number {
  const [a, b] = [Math.abs(exact), Math.abs(float)];
  return a > b ? 1 : a < b ? 0 : odd;
}

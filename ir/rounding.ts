import type { FloatDType } from './dtype.ts';

/**
 * The number nearest to `x` that `dtype` can hold, ties to even: what a conversion from float64 gives.
 * Too large becomes infinite, too small a subnormal or zero of the same sign; NaN stays NaN.
 */
export function roundTo(dtype: FloatDType, x: number): number {
  switch (dtype) {
    case 'f64':
      return x;
    case 'f32':
      return Math.fround(x);
    case 'f16':
      return f16ToNumber(numberToF16(x));
    case 'bf16':
      return bf16ToNumber(numberToBf16(x));
  }
}

/** The number that 16 bits of IEEE 754 binary16 stand for. */
export function f16ToNumber(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * mantissa * f16Quantum;
  return f32FromBits(((bits & 0x8000) << 16) | ((exponent === 0x1f ? 0xff : exponent + 112) << 23) | (mantissa << 13));
}

/** The number that 16 bits of bfloat16 stand for: the upper half of a float32. */
export function bf16ToNumber(bits: number): number {
  return f32FromBits(bits << 16);
}

/** The 16 bits of the binary16 number nearest to `x`, ties to even; any NaN becomes the quiet 0x7e00. */
export function numberToF16(x: number): number {
  return Number.isNaN(x) ? 0x7e00 : narrow(x, 10, -14, 0x7c00);
}

/** The 16 bits of the bfloat16 number nearest to `x`, ties to even; any NaN becomes the quiet 0x7fc0. */
export function numberToBf16(x: number): number {
  return Number.isNaN(x) ? 0x7fc0 : narrow(x, 7, -126, 0x7f80);
}

/** The smallest binary16 subnormal, 2^-24. */
const f16Quantum = 1 / 0x1000000;

// Only for looking at bits; nothing is left in it from one call to the next.
const view = new DataView(new ArrayBuffer(8));

function f32FromBits(bits: number): number {
  view.setInt32(0, bits);
  return view.getFloat32(0);
}

function exponentOf(x: number): number {
  view.setFloat64(0, x);
  return ((view.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/** 2^exponent, exactly, for exponents of normal numbers. */
function powerOfTwo(exponent: number): number {
  view.setUint32(0, (exponent + 1023) << 20);
  view.setUint32(4, 0);
  return view.getFloat64(0);
}

/** Straight from float64: going through float32 would round twice. */
function narrow(x: number, mantissaBits: number, minExponent: number, infinity: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  const exponent = Math.max(exponentOf(magnitude), minExponent);
  // Dividing by a power of two is exact, and leaves mantissaBits + 1 digits before the point.
  const scaled = exponent > 127 ? Number.POSITIVE_INFINITY : magnitude / powerOfTwo(exponent - mantissaBits);
  const bits = ((exponent - minExponent) << mantissaBits) + roundHalfEven(scaled);
  return sign | (scaled === Number.POSITIVE_INFINITY || bits > infinity ? infinity : bits);
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16, roundTo } from '../../ir/rounding.ts';

/** The textbook formula, in exact powers of two. */
function meaningOf(bits: number, exponentBits: number, mantissaBits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> mantissaBits) & ((1 << exponentBits) - 1);
  const mantissa = bits & ((1 << mantissaBits) - 1);
  const bias = (1 << (exponentBits - 1)) - 1;
  if (exponent === (1 << exponentBits) - 1) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (mantissa + (1 << mantissaBits)) * 2 ** (exponent - bias - mantissaBits);
}

const formats = [
  { name: 'f16', toNumber: f16ToNumber, toBits: numberToF16, exponentBits: 5, mantissaBits: 10, nan: 0x7e00 },
  { name: 'bf16', toNumber: bf16ToNumber, toBits: numberToBf16, exponentBits: 8, mantissaBits: 7, nan: 0x7fc0 },
] as const;

describe.each(formats)('$name', ({ name, toNumber, toBits, exponentBits, mantissaBits, nan }) => {
  test('every one of the 65536 patterns means what IEEE 754 says, and comes back', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = toNumber(bits);
      const expected = meaningOf(bits, exponentBits, mantissaBits);
      if (!Object.is(value, expected)) expect.fail(`${bits.toString(16)}: ${value}, not ${expected}`);
      const back = toBits(value);
      if (back !== (Number.isNaN(value) ? nan : bits))
        expect.fail(`${bits.toString(16)} came back ${back.toString(16)}`);
    }
  });

  test('between any two neighbours, halves go to the even one and the rest to the nearer one', () => {
    const infinity = ((1 << exponentBits) - 1) << mantissaBits;
    for (let bits = 0; bits < infinity - 1; bits++) {
      const low = toNumber(bits);
      const high = toNumber(bits + 1);
      const half = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      // The next float64 below and above the half: what rounding through float32 would get wrong.
      const step = half * Number.EPSILON;
      for (const [x, nearest] of [
        [half, even],
        [half - step, bits],
        [half + step, bits + 1],
      ] as const) {
        if (toBits(x) !== nearest) expect.fail(`${x} became ${toBits(x).toString(16)}, not ${nearest.toString(16)}`);
        if (toBits(-x) !== (nearest | 0x8000)) expect.fail(`${-x} became ${toBits(-x).toString(16)}`);
      }
    }
  });

  test('what is too large becomes infinite, from half a step above the largest number on', () => {
    const infinity = ((1 << exponentBits) - 1) << mantissaBits;
    const largest = toNumber(infinity - 1);
    const limit = largest + (largest - toNumber(infinity - 2)) / 2;
    expect(toBits(limit)).toBe(infinity);
    expect(toBits(limit * (1 - Number.EPSILON))).toBe(infinity - 1);
    expect(toBits(Number.MAX_VALUE)).toBe(infinity);
    expect(toBits(-Number.MAX_VALUE)).toBe(infinity | 0x8000);
    expect(toBits(Number.MIN_VALUE)).toBe(0);
    expect(toBits(-Number.MIN_VALUE)).toBe(0x8000);
  });

  test('rounding twice is rounding once, and never moves past a neighbour', () => {
    fc.assert(
      fc.property(fc.double(), (x) => {
        const once = roundTo(name, x);
        expect(roundTo(name, once)).toBe(once);
        if (Number.isFinite(once))
          expect(Math.abs(once - x)).toBeLessThanOrEqual(Math.abs(x) * 2 ** -mantissaBits + 2 ** -24);
      }),
    );
  });
});

test('f64 and f32 round as JavaScript does', () => {
  expect(roundTo('f64', 0.1)).toBe(0.1);
  expect(roundTo('f32', 0.1)).toBe(Math.fround(0.1));
});

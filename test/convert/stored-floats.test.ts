import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeFloats, encodeFloats, type StoredFloat } from '../../convert/stored-floats.ts';
import { decodeTensor, encodeTensor } from '../../ir/tensor-bytes.ts';

const types: readonly StoredFloat[] = ['f32', 'f16', 'bf16'];

/** Numbers at and near the middle of two that can be stored, where rounding twice goes wrong, and any others. */
const numbers = fc.oneof(
  fc.double(),
  fc.float(),
  fc
    .record({
      mantissa: fc.integer({ min: 0, max: 4095 }),
      exponent: fc.integer({ min: -30, max: 20 }),
      off: fc.constantFrom(0, 1e-12, -1e-12, 1e-5, -1e-5),
      sign: fc.constantFrom(1, -1),
    })
    .map(({ mantissa, exponent, off, sign }) => sign * (1 + mantissa / 4096 + off) * 2 ** exponent),
);

describe.each(types)('%s', (dtype) => {
  test('any bytes are decoded as decodeTensor does, at odd places too', () => {
    const size = dtype === 'f32' ? 4 : 2;
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 16 }), fc.nat(3), (seed, shift) => {
        const length = Math.floor(seed.length / size) * size;
        const buffer = new Uint8Array(length + shift);
        buffer.set(seed.subarray(0, length), shift);
        const bytes = buffer.subarray(shift);
        const expected = [...decodeTensor(dtype, bytes)];
        expect([...decodeFloats(dtype, bytes)]).toEqual(expected);
        // What a file was read into; its slice is no copy.
        expect([...decodeFloats(dtype, Buffer.from(buffer).subarray(shift))]).toEqual(expected);
      }),
      { numRuns: 400 },
    );
  });

  test('any numbers are encoded as encodeTensor does', () => {
    fc.assert(
      fc.property(fc.array(numbers, { maxLength: 20 }), (values) => {
        const exact = Float64Array.from(values);
        expect(Buffer.from(encodeFloats(dtype, exact)).toString('hex')).toBe(
          Buffer.from(encodeTensor(dtype, exact)).toString('hex'),
        );
        const floats = Float32Array.from(values);
        expect(Buffer.from(encodeFloats(dtype, floats)).toString('hex')).toBe(
          Buffer.from(encodeTensor(dtype, floats)).toString('hex'),
        );
      }),
      { numRuns: 2000 },
    );
  });
});

test('a number just above the middle goes up, though its float32 is the middle', () => {
  const middle = 1 + 2 ** -8;
  expect([
    ...decodeFloats('bf16', encodeFloats('bf16', Float64Array.of(middle, middle + 2 ** -40, middle - 2 ** -40))),
  ]).toEqual([1, 1 + 2 ** -7, 1]);
});

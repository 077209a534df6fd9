import { describe, expect, test } from 'vitest';
import type { DType } from '../../ir/dtype.ts';
import { decodeTensor, encodeTensor } from '../../ir/tensor-bytes.ts';

describe('numbers become bytes and come back', () => {
  const cases: readonly (readonly [DType, readonly number[]])[] = [
    ['f64', [0.1, -0, Number.MAX_VALUE]],
    ['f32', [0.5, -1.25, 2 ** 127]],
    ['f16', [0.5, -65504, 2 ** -24]],
    ['bf16', [0.5, -1.25, 2 ** -133]],
    ['i64', [0, -1, Number.MAX_SAFE_INTEGER]],
    ['i32', [0, -1, 2 ** 31 - 1]],
    ['i8', [0, -128, 127]],
    ['u8', [0, 1, 255]],
    ['bool', [0, 1, 1]],
  ];
  test.each(cases)('%s', (dtype, values) => {
    const bytes = encodeTensor(dtype, values);
    expect([...decodeTensor(dtype, bytes)]).toEqual(values);
  });

  test('at an odd byte of a larger buffer', () => {
    const whole = new Uint8Array(9);
    whole.set(encodeTensor('f32', [1.5, -2.5]), 1);
    expect([...decodeTensor('f32', whole.subarray(1))]).toEqual([1.5, -2.5]);
  });

  test('i4, two to a byte, the first in the low half', () => {
    const bytes = encodeTensor('i4', [1, -8, 7]);
    expect([...bytes]).toEqual([0x81, 0x07]);
    expect([...decodeTensor('i4', bytes, 3)]).toEqual([1, -8, 7]);
  });
});

test('bytes that are not a whole number of elements are a bug of ours', () => {
  expect(() => decodeTensor('f32', new Uint8Array(5))).toThrow('1 elements of f32 in 5 bytes');
});

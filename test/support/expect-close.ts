import { expect } from 'vitest';
import { formatShape, type Tensor } from '../../ir/interpret/tensor.ts';

/**
 * Fails, naming the first element, when tensors differ in type or by more than `tolerance` times the largest finite
 * magnitude of `expected`. A tolerance of 0 wants equal numbers (0 and −0 are). NaN and infinities have to match.
 */
export function expectClose(found: Tensor, expected: Tensor, tolerance: number, what = 'the tensor'): void {
  expect(formatShape(found), what).toBe(formatShape(expected));
  let scale = 0;
  for (const x of expected.data) if (Number.isFinite(x)) scale = Math.max(scale, Math.abs(x));
  for (let i = 0; i < expected.data.length; i++) {
    const [a, b] = [found.data[i]!, expected.data[i]!];
    const close = a === b || (Number.isNaN(a) && Number.isNaN(b)) || Math.abs(a - b) <= tolerance * scale;
    if (!close) expect.fail(`${what}: element ${i} of ${formatShape(expected)} is ${a}, not ${b}`);
  }
}

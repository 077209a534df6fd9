import type { Tensor } from '../../ir/interpret/tensor.ts';

/** Rows of a tensor [rows, tokens] of token ids. */
export function tokenRows({ shape, data }: Tensor): readonly (readonly number[])[] {
  const [rows, width] = shape as [number, number];
  return Array.from({ length: rows }, (_, r) => Array.from(data.subarray(r * width, (r + 1) * width)));
}

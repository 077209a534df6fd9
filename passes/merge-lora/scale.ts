import type { LoraUpdate } from './updates.ts';

/**
 * Where an update's scale goes: nowhere when it is 1; into the factor A, once and before the graph runs, when that
 * rounds nothing; else into the product with A, which is only as wide as the rank.
 */
export function scaling({ scales, a }: LoraUpdate): 'none' | 'factor' | 'product' {
  if (scales?.every((scale) => scale === 1)) return 'none';
  if (!scales?.every(isPowerOfTwo)) return 'product';
  const known = a.kind === 'per-depth' || (a.kind === 'weight' && scales.length === 1);
  return known ? 'factor' : 'product';
}

/** True for scales that a weight takes without rounding, in any type that it may be computed in. */
function isPowerOfTwo(scale: number): boolean {
  const magnitudes = Array.from({ length: 13 }, (_, i) => 2 ** (i - 6));
  return magnitudes.includes(Math.abs(scale));
}

import { stridesOf, type Tensor } from '../../ir/interpret/tensor.ts';

/** How far a tensor is from what it should be. */
export interface Comparison {
  /** Infinite when an element that counts is not finite. */
  readonly maxAbs: number;
  /** What differences are parts of: the largest magnitude of the expected elements that count, or the `unit` given. */
  readonly scale: number;
  /** Positions (all axes but the last) that count, and those whose largest element is at the same place. */
  readonly positions: number;
  readonly agreeing: number;
  /** The first element that is off by more than is allowed; undefined when there is none. */
  readonly first: { readonly index: readonly number[]; readonly actual: number; readonly expected: number } | undefined;
}

/**
 * Compares two tensors of one shape.
 * @param counts whether the row (the elements along the last axis) at these coordinates is specified; rows that are not
 * need only be finite
 * @param tolerance how far an element may be off, in parts of `unit`
 * @param unit the largest expected magnitude by default
 */
export function compareTensors(
  actual: Tensor,
  expected: Tensor,
  counts: (coordinates: readonly number[]) => boolean,
  tolerance: number,
  unit?: number,
): Comparison {
  const { shape } = expected;
  const width = shape.at(-1) ?? 1;
  const outer = shape.slice(0, -1);
  const strides = stridesOf(outer);
  const rows = width === 0 ? 0 : expected.data.length / width;
  const coordinatesOf = (row: number) => outer.map((size, axis) => Math.floor(row / strides[axis]!) % size);
  const counting = Array.from({ length: rows }, (_, row) => counts(coordinatesOf(row)));

  let scale = 0;
  for (let row = 0; row < rows; row++) {
    if (!counting[row]) continue;
    for (let i = row * width; i < (row + 1) * width; i++) scale = Math.max(scale, Math.abs(expected.data[i]!));
  }
  scale = unit ?? scale;
  let maxAbs = 0;
  let positions = 0;
  let agreeing = 0;
  let first: number | undefined;
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    for (let i = start; i < start + width; i++) {
      const apart = counting[row]
        ? distance(actual.data[i]!, expected.data[i]!)
        : Number.isFinite(actual.data[i])
          ? 0
          : Number.POSITIVE_INFINITY;
      if (apart > tolerance * scale) first ??= i;
      maxAbs = Math.max(maxAbs, apart);
    }
    if (!counting[row]) continue;
    positions++;
    if (argmax(actual.data, start, width) === argmax(expected.data, start, width)) agreeing++;
  }
  return {
    maxAbs,
    scale,
    positions,
    agreeing,
    first:
      first === undefined
        ? undefined
        : {
            index: [...coordinatesOf(Math.floor(first / width)), ...(shape.length > 0 ? [first % width] : [])],
            actual: actual.data[first]!,
            expected: expected.data[first]!,
          },
  };
}

function distance(actual: number, expected: number): number {
  const apart = Math.abs(actual - expected);
  return Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
}

function argmax(data: Float64Array, start: number, width: number): number {
  let best = 0;
  for (let i = 1; i < width; i++) if (data[start + i]! > data[start + best]!) best = i;
  return best;
}

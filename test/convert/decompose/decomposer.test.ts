import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Decomposer, openDecomposer } from '../../../convert/decompose/decomposer.ts';
import type { Decomposition } from '../../../convert/decompose/decomposition.ts';
import type { Matrix } from '../../../convert/matrix.ts';
import { awayFromOrthonormal, squaredLoss, squares, withSingularValues } from './matrices.ts';

let decomposer: Decomposer;

beforeAll(async () => {
  const opened = await openDecomposer({ threads: 1 });
  if (!opened.ok) throw new Error(opened.diagnostics[0]!.message);
  decomposer = opened.value;
});
afterAll(() => decomposer.close());

function valuesOf(count: number, value: (i: number) => number): readonly number[] {
  return Array.from({ length: count }, (_, i) => value(i));
}

/** What holds of every decomposition. */
function expectSound(matrix: Matrix, found: Decomposition, rank: number): void {
  expect([found.u.rows, found.u.cols, found.v.rows, found.v.cols]).toEqual([matrix.rows, rank, matrix.cols, rank]);
  expect(found.singular).toHaveLength(rank);
  expect(found.rank).toBe(rank);
  for (let i = 1; i < rank; i++) expect(found.singular[i]).toBeLessThanOrEqual(found.singular[i - 1]!);
  expect(awayFromOrthonormal(found.u), 'u').toBeLessThan(1e-6);
  expect(awayFromOrthonormal(found.v), 'v').toBeLessThan(1e-6);
  expect(found.squaredNorm).toBeCloseTo(squares(matrix.data), 12 - Math.log10(squares(matrix.data) + 1));
  for (let k = 0; k < rank; k++) {
    let largest = 0;
    for (let i = 0; i < matrix.rows; i++) {
      const x = found.u.data[i * rank + k]!;
      if (Math.abs(x) > Math.abs(largest)) largest = x;
    }
    expect(largest, `sign of ${k}`).toBeGreaterThan(0);
  }
}

/** How far the loss is above the least that there is, relatively. */
function excess(matrix: Matrix, found: Decomposition, best: number): number {
  return Math.sqrt(squaredLoss(matrix, found) / best) - 1;
}

const spectra = {
  'as residuals decay': (i) => (1 + i) ** -0.7,
  slow: (i) => (1 + i) ** -0.3,
  fast: (i) => (1 + i) ** -1.5,
  flat: () => 1,
  'three that stand out, by a factor of a thousand': (i) => (i < 3 ? 1000 - i : (1 + i) ** -0.3),
  'three that stand out, by a factor of a hundred thousand': (i) => (i < 3 ? 1e5 - i : (1 + i) ** -0.3),
  exponential: (i) => 0.9 ** i,
  'in pairs': (i) => (1 + (i >> 1)) ** -0.7,
} as const satisfies Readonly<Record<string, (i: number) => number>>;

describe.each(Object.entries(spectra))('singular values that are %s', (_, value) => {
  test.each([
    { rows: 300, cols: 700, rank: 16 },
    { rows: 420, cols: 300, rank: 48 },
    { rows: 60, cols: 200, rank: 16 },
    { rows: 200, cols: 60, rank: 7 },
  ])('$rows × $cols at rank $rank', async ({ rows, cols, rank }) => {
    const values = valuesOf(Math.min(rows, cols), value);
    const matrix = withSingularValues(rows, cols, values);
    const found = await decomposer.decompose(matrix, { rank });
    expectSound(matrix, found, rank);
    expect(excess(matrix, found, squares(values.slice(rank)))).toBeLessThan(1e-3);
    const spectrum = await decomposer.spectrum(matrix);
    for (const [i, sigma] of spectrum.entries()) expect(Math.abs(sigma - values[i]!)).toBeLessThan(3e-7 * values[0]!);
  });
});

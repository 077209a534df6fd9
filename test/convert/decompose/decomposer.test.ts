import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Decomposer, openDecomposer } from '../../../convert/decompose/decomposer.ts';
import type { Decomposition } from '../../../convert/decompose/decomposition.ts';
import type { Matrix } from '../../../convert/matrix.ts';
import { awayFromOrthonormal, matrixOf, normalMatrix, squaredLoss, squares, withSingularValues } from './matrices.ts';

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
    { rows: 220, cols: 500, rank: 16 },
    { rows: 420, cols: 250, rank: 40 },
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

test.each([
  { rows: 300, cols: 700, rank: 64 },
  { rows: 500, cols: 400, rank: 30 },
])('$rows × $cols random entries at rank $rank', async ({ rows, cols, rank }) => {
  const matrix = normalMatrix(rows, cols);
  const spectrum = await decomposer.spectrum(matrix);
  expect(squares(spectrum) / squares(matrix.data)).toBeCloseTo(1, 6);
  const found = await decomposer.decompose(matrix, { rank });
  expectSound(matrix, found, rank);
  expect(excess(matrix, found, squares(spectrum.slice(rank)))).toBeLessThan(1e-3);
});

test('a smaller tolerance is kept to, and leading values can be had alone', async () => {
  const values = valuesOf(220, spectra.slow);
  const matrix = withSingularValues(220, 500, values);
  const best = squares(values.slice(16));
  const loose = excess(matrix, await decomposer.decompose(matrix, { rank: 16, tolerance: 0.05 }), best);
  const tight = excess(matrix, await decomposer.decompose(matrix, { rank: 16, tolerance: 1e-5 }), best);
  expect(loose).toBeLessThan(0.05);
  expect(tight).toBeLessThan(1e-5);
  expect(loose).toBeGreaterThan(2e-5);
  const leading = await decomposer.spectrum(matrix, { rank: 16, tolerance: 1e-6 });
  expect(leading).toHaveLength(16);
  for (const [i, sigma] of leading.entries()) expect(sigma).toBeCloseTo(values[i]!, 4);
});

describe('full rank gives the matrix back', () => {
  test.each([
    { rows: 40, cols: 90 },
    { rows: 150, cols: 64 },
    { rows: 130, cols: 130 },
    { rows: 1, cols: 17 },
    { rows: 17, cols: 1 },
    { rows: 1, cols: 1 },
  ])('$rows × $cols', async ({ rows, cols }) => {
    const matrix = normalMatrix(rows, cols);
    const rank = Math.min(rows, cols);
    // More than there is, is all that there is.
    const found = await decomposer.decompose(matrix, { rank: rank + 5 });
    expectSound(matrix, found, rank);
    expect(Math.sqrt(squaredLoss(matrix, found) / found.squaredNorm)).toBeLessThan(3e-7);
  });
});

describe('matrices of less than full rank', () => {
  const ofRank = (rows: number, cols: number, actual: number) =>
    withSingularValues(
      rows,
      cols,
      valuesOf(actual, (i) => 5 - i / actual),
    );

  test.each([
    { rows: 300, cols: 200, actual: 1, rank: 8 },
    { rows: 200, cols: 300, actual: 5, rank: 5 },
    { rows: 200, cols: 300, actual: 30, rank: 40 },
    { rows: 40, cols: 60, actual: 3, rank: 10 },
    { rows: 60, cols: 40, actual: 1, rank: 40 },
  ])('$rows × $cols of rank $actual at rank $rank', async ({ rows, cols, actual, rank }) => {
    const matrix = ofRank(rows, cols, actual);
    const found = await decomposer.decompose(matrix, { rank });
    expectSound(matrix, found, rank);
    expect(Math.sqrt(squaredLoss(matrix, found) / found.squaredNorm)).toBeLessThan(1e-6);
    for (let i = actual; i < rank; i++) expect(found.singular[i]).toBeLessThan(5e-6);
  });

  test.each([
    { rows: 3, cols: 5 },
    { rows: 400, cols: 200 },
  ])('zeros, $rows × $cols', async ({ rows, cols }) => {
    const found = await decomposer.decompose(
      matrixOf(rows, cols, () => 0),
      { rank: 3 },
    );
    expect(found.singular).toEqual(new Float64Array(3));
    expect(found.squaredNorm).toBe(0);
    expect(awayFromOrthonormal(found.u) + awayFromOrthonormal(found.v)).toBe(0);
  });

  test('one entry, and rank 0', async () => {
    const matrix = matrixOf(150, 130, (i, j) => (i === 7 && j === 9 ? -3 : 0));
    const found = await decomposer.decompose(matrix, { rank: 1 });
    expect(found.singular[0]).toBeCloseTo(3, 6);
    expect([found.u.data[7], found.v.data[9]]).toEqual([expect.closeTo(1, 6), expect.closeTo(-1, 6)]);
    const none = await decomposer.decompose(matrix, { rank: 0 });
    expect([none.rank, none.u.data.length, none.v.cols, none.squaredNorm]).toEqual([0, 0, 0, 9]);
  });
});

// Squares of either are nothing, or infinite, in float32.
describe.each([2 ** -110, 2 ** -40, 2 ** 60, 2 ** 118])('entries times %d', (factor) => {
  test.each([
    { rows: 220, cols: 500, rank: 16 },
    { rows: 60, cols: 90, rank: 60 },
  ])('$rows × $cols: singular values times the same', async ({ rows, cols, rank }) => {
    const values = valuesOf(Math.min(rows, cols), spectra['as residuals decay']);
    const matrix = withSingularValues(rows, cols, values);
    const scaled = { ...matrix, data: matrix.data.map((x) => x * factor) };
    const [plain, found] = [await decomposer.decompose(matrix, { rank }), await decomposer.decompose(scaled, { rank })];
    expect(awayFromOrthonormal(found.u) + awayFromOrthonormal(found.v)).toBeLessThan(2e-6);
    for (let i = 0; i < rank; i++) expect(found.singular[i]! / plain.singular[i]! / factor).toBeCloseTo(1, 5);
  });
});

test('the same again, to the bit; another seed gives the same within the tolerance', async () => {
  const matrix = withSingularValues(220, 500, valuesOf(220, spectra.slow));
  const [first, again, other] = [
    await decomposer.decompose(matrix, { rank: 16 }),
    await decomposer.decompose(matrix, { rank: 16 }),
    await decomposer.decompose(matrix, { rank: 16, seed: 5 }),
  ];
  expect(again).toEqual(first);
  expect(other.u).not.toEqual(first.u);
  expect(squaredLoss(matrix, other) / squaredLoss(matrix, first)).toBeCloseTo(1, 2);
});

test('products, either side transposed', async () => {
  const a = normalMatrix(5, 7);
  const b = normalMatrix(7, 4, 'b');
  const turned = ({ rows, cols, data }: Matrix) => matrixOf(cols, rows, (i, j) => data[j * cols + i]!);
  const expected = matrixOf(5, 4, (i, j) =>
    valuesOf(7, (k) => a.data[i * 7 + k]! * b.data[k * 4 + j]!).reduce((x, y) => x + y),
  );
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      const found = await decomposer.product(transposeA ? turned(a) : a, transposeB ? turned(b) : b, {
        transposeA,
        transposeB,
      });
      expect([found.rows, found.cols]).toEqual([5, 4]);
      for (const [k, x] of found.data.entries()) expect(x).toBeCloseTo(expected.data[k]!, 5);
    }
  }
});

test('stops between two products when the signal aborts', async () => {
  const abort = new AbortController();
  const opened = await openDecomposer({ threads: 1, signal: abort.signal });
  if (!opened.ok) throw new Error('not opened');
  const running = opened.value.decompose(normalMatrix(600, 700), { rank: 64 });
  setImmediate(() => abort.abort(new Error('enough')));
  await expect(running).rejects.toThrow('enough');
  await expect(opened.value.decompose(normalMatrix(4, 4), { rank: 1 })).rejects.toThrow('enough');
  await opened.value.close();
});

test('NaN and infinity are our mistake: whoever reads weights says where they are', async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const matrix = matrixOf(3, 3, (i) => (i === 2 ? bad : 1));
    await expect(decomposer.decompose(matrix, { rank: 1 })).rejects.toThrow('has no singular values');
  }
});

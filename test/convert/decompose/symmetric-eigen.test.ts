import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { symmetricEigen } from '../../../convert/decompose/symmetric-eigen.ts';
import { randomStream } from '../../support/random.ts';

function symmetric(n: number, entry: (i: number, j: number) => number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, k) =>
    entry(Math.max((k / n) | 0, k % n), Math.min((k / n) | 0, k % n)),
  );
}

/** Vectors orthonormal, matrix · vector = value · vector, values descending, all within rounding of the largest. */
function expectEigen(matrix: Float64Array, n: number, count: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, n, count);
  const size = Math.max(1e-300, ...values.map(Math.abs));
  for (let i = 1; i < n; i++) expect(values[i]).toBeLessThanOrEqual(values[i - 1]!);
  let wrong = 0;
  for (let a = 0; a < count; a++) {
    for (let b = 0; b <= a; b++) {
      let sum = a === b ? -1 : 0;
      for (let k = 0; k < n; k++) sum += vectors[a * n + k]! * vectors[b * n + k]!;
      wrong = Math.max(wrong, Math.abs(sum));
    }
    for (let i = 0; i < n; i++) {
      let sum = -values[a]! * vectors[a * n + i]!;
      for (let k = 0; k < n; k++) sum += matrix[i * n + k]! * vectors[a * n + k]!;
      wrong = Math.max(wrong, Math.abs(sum) / size);
    }
  }
  expect(wrong).toBeLessThan(n * 1e-15 + 1e-15);
  return values;
}

describe.each([1, 2, 3, 5, 8, 31, 120])('%d rows', (n) => {
  const next = randomStream(`eigen ${n}`);
  const random = Float64Array.from({ length: n * n }, () => 2 * next() - 1);

  test.each([
    { name: 'random', entry: (i: number, j: number) => random[i * n + j]! },
    { name: 'diagonal', entry: (i: number, j: number) => (i === j ? random[i]! : 0) },
    { name: 'zero', entry: () => 0 },
    { name: 'ones: one value, and n − 1 ties', entry: () => 1 },
    {
      name: 'blocks that know nothing of each other',
      entry: (i: number, j: number) => ((i ^ j) & 4 ? 0 : random[i * n + j]!),
    },
    {
      name: 'values from 1 to 1e-30',
      entry: (i: number, j: number) => random[i * n + j]! * 10 ** ((-15 * (i + j)) / n),
    },
    { name: 'huge', entry: (i: number, j: number) => random[i * n + j]! * 1e120 },
    { name: 'tiny', entry: (i: number, j: number) => random[i * n + j]! * 1e-120 },
  ])('$name', ({ entry }) => {
    const matrix = symmetric(n, entry);
    const before = matrix.slice();
    expectEigen(matrix, n, n);
    expect(matrix, 'is left as it was').toEqual(before);
  });
});

test('the second difference has the values 2 − 2 cos(kπ / (n + 1))', () => {
  const n = 40;
  const values = expectEigen(
    symmetric(n, (i, j) => (i === j ? 2 : i - j === 1 ? -1 : 0)),
    n,
    6,
  );
  for (let k = 0; k < n; k++) expect(values[k]).toBeCloseTo(2 - 2 * Math.cos(((n - k) * Math.PI) / (n + 1)), 12);
});

test('values alone are those that come with vectors', () => {
  const next = randomStream('alone');
  const matrix = symmetric(50, () => next());
  expect(symmetricEigen(matrix, 50, 0).vectors).toHaveLength(0);
  const [alone, beside] = [symmetricEigen(matrix, 50, 0).values, symmetricEigen(matrix, 50, 50).values];
  for (const [i, value] of alone.entries()) expect(value).toBeCloseTo(beside[i]!, 12);
});

test('any small matrix of small integers', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 21, maxLength: 21 }), (entries) => {
      expectEigen(
        symmetric(6, (i, j) => entries[(i * (i + 1)) / 2 + j]!),
        6,
        6,
      );
    }),
    { seed: 3, numRuns: 200 },
  );
});

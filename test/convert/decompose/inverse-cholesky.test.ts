import { describe, expect, test } from 'vitest';
import { inverseCholesky } from '../../../convert/decompose/inverse-cholesky.ts';
import { randomStream } from '../../support/random.ts';

/** Rows, their Gram matrix, and T · rows. */
function orthogonalised(rows: readonly (readonly number[])[]) {
  const n = rows.length;
  const gram = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) gram[i * n + j] = dot(rows[i]!, rows[j]!);
  const found = inverseCholesky(gram, n);
  const made = rows.map((_, i) =>
    rows[0]!.map((_, k) => rows.reduce((sum, row, j) => sum + found.inverse[i * n + j]! * row[k]!, 0)),
  );
  return { ...found, made };
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, k) => sum + x * b[k]!, 0);
}

function randomRows(n: number, length: number, seed = 'rows'): number[][] {
  const next = randomStream(`${seed} ${n}`);
  return Array.from({ length: n }, () => Array.from({ length }, () => 2 * next() - 1));
}

describe.each([1, 2, 3, 4, 5, 9, 10, 33])('%d rows', (n) => {
  test('become orthonormal, each made of those in front of it', () => {
    const rows = randomRows(n, n + 20).map((row, i) => row.map((x) => x * 10 ** (i % 7)));
    const { made, inverse, lost, apart } = orthogonalised(rows);
    expect(lost).toEqual([]);
    expect(apart).toBeGreaterThan(0.01);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) expect(dot(made[i]!, made[j]!)).toBeCloseTo(i === j ? 1 : 0, 10);
      for (let j = i + 1; j < n; j++) expect(inverse[i * n + j]).toBe(0);
      expect(dot(made[i]!, rows[i]!), 'keeps its direction').toBeGreaterThan(0);
    }
  });
});

test('rows that are made of those in front of them are told, and nothing behind them is spoilt', () => {
  const rows = randomRows(11, 30);
  rows[3] = rows[0]!.map((x, k) => x - 2 * rows[2]![k]!);
  rows[6] = rows[6]!.map(() => 0);
  rows[9] = rows[8]!.map((x) => 1e6 * x);
  const { made, lost, apart } = orthogonalised(rows);
  expect(lost).toEqual([3, 6, 9]);
  expect(apart).toBeGreaterThan(0.01);
  const kept = made.filter((_, i) => !lost.includes(i));
  for (const i of lost) expect(made[i]!.every((x) => x === 0)).toBe(true);
  for (const [i, a] of kept.entries()) {
    for (const [j, b] of kept.entries()) expect(dot(a, b)).toBeCloseTo(i === j ? 1 : 0, 10);
  }
});

test('how much of a row is its own', () => {
  const { apart } = orthogonalised([
    [1, 0, 0],
    [1, 0.01, 0],
    [0, 0, 1],
  ]);
  expect(apart).toBeCloseTo(1e-4 / 1.0001, 8);
});

import type { Matrix } from '../../../convert/matrix.ts';
import { randomStream } from '../../support/random.ts';

/** U diag(singular) Vᵀ with orthonormal factors that lean nowhere, summed in float64 and rounded once. */
export function withSingularValues(rows: number, cols: number, singular: readonly number[]): Matrix {
  const left = orthonormalVectors(singular.length, rows, 'left');
  const right = orthonormalVectors(singular.length, cols, 'right');
  const sum = new Float64Array(rows * cols);
  for (const [k, value] of singular.entries()) {
    for (let i = 0; i < rows; i++) {
      const x = left[k]![i]! * value;
      for (let j = 0; j < cols; j++) sum[i * cols + j]! += x * right[k]![j]!;
    }
  }
  return { rows, cols, data: Float32Array.from(sum) };
}

/** Each entry on its own, with the normal distribution: the flattest spectrum that something random has. */
export function normalMatrix(rows: number, cols: number, seed = 'normal'): Matrix {
  const next = randomStream(`${seed} ${rows} ${cols}`);
  return { rows, cols, data: Float32Array.from({ length: rows * cols }, () => normal(next)) };
}

export function matrixOf(rows: number, cols: number, entry: (i: number, j: number) => number): Matrix {
  return { rows, cols, data: Float32Array.from({ length: rows * cols }, (_, k) => entry((k / cols) | 0, k % cols)) };
}

/** The largest entry of XᵀX − 1 for columns X, in float64. */
export function awayFromOrthonormal({ rows, cols, data }: Matrix): number {
  let worst = 0;
  for (let a = 0; a < cols; a++) {
    for (let b = 0; b <= a; b++) {
      let sum = a === b ? -1 : 0;
      for (let i = 0; i < rows; i++) sum += data[i * cols + a]! * data[i * cols + b]!;
      worst = Math.max(worst, Math.abs(sum));
    }
  }
  return worst;
}

/** ‖matrix − u · diag(singular) · vᵀ‖ in float64, squared. */
export function squaredLoss(
  matrix: Matrix,
  { u, singular, v }: { readonly u: Matrix; readonly singular: Float64Array; readonly v: Matrix },
): number {
  const rank = singular.length;
  const row = new Float64Array(matrix.cols);
  // Along rows, which is fast.
  const across = Array.from(singular, (_, k) =>
    Float64Array.from({ length: matrix.cols }, (_, j) => v.data[j * rank + k]!),
  );
  let sum = 0;
  for (let i = 0; i < matrix.rows; i++) {
    for (let j = 0; j < matrix.cols; j++) row[j] = matrix.data[i * matrix.cols + j]!;
    for (let k = 0; k < rank; k++) {
      const x = u.data[i * rank + k]! * singular[k]!;
      const vector = across[k]!;
      for (let j = 0; j < matrix.cols; j++) row[j]! -= x * vector[j]!;
    }
    for (let j = 0; j < matrix.cols; j++) sum += row[j]! * row[j]!;
  }
  return sum;
}

export function squares(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return sum;
}

const made = new Map<string, readonly Float64Array[]>();

/** By Gram and Schmidt, twice; the same for the same seed, and made once. */
function orthonormalVectors(count: number, length: number, seed: string): readonly Float64Array[] {
  const key = `${seed} ${count} ${length}`;
  const known = made.get(key);
  if (known) return known;
  const next = randomStream(key);
  const found: Float64Array[] = [];
  while (found.length < count) {
    const vector = Float64Array.from({ length }, () => normal(next));
    for (let round = 0; round < 2; round++) {
      for (const other of found) {
        let along = 0;
        for (let i = 0; i < length; i++) along += vector[i]! * other[i]!;
        for (let i = 0; i < length; i++) vector[i]! -= along * other[i]!;
      }
      const size = Math.sqrt(squares(vector));
      for (let i = 0; i < length; i++) vector[i]! /= size;
    }
    found.push(vector);
  }
  made.set(key, found);
  return found;
}

function normal(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

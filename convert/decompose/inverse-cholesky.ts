/** What makes rows with a given Gram matrix orthonormal. */
export interface InverseCholesky {
  /** T [n, n], lower triangular: T · rows is orthonormal, row i made of rows 0 … i. Rows of `lost` are zero. */
  readonly inverse: Float64Array;
  /** Rows that are those in front of them, within what float32 can tell. */
  readonly lost: readonly number[];
  /** The smallest share of a row's squared length that the rows in front of it do not have; 1 where none depend. */
  readonly apart: number;
}

/** A row that has less than this share of its squared length for itself is made of the others, and of rounding. */
const dependent = 1e-12;

/** The inverse of the Cholesky factor of a Gram matrix [n, n], of which only the lower half is read. */
export function inverseCholesky(gram: Float64Array, n: number): InverseCholesky {
  // Rows of very different length are no worse than others once they have the same one.
  const scale = Float64Array.from({ length: n }, (_, i) => {
    const square = gram[i * n + i]!;
    return square > 0 ? 1 / Math.sqrt(square) : 0;
  });
  const l = new Float64Array(n * n);
  const lost: number[] = [];
  let apart = 1;
  for (let i = 0; i < n; i++) {
    const row = i * n;
    for (let j = 0; j < i; j++) {
      const pivot = l[j * n + j]!;
      if (pivot === 0) continue;
      l[row + j] = (gram[row + j]! * scale[i]! * scale[j]! - dot(l, row, j * n, j)) / pivot;
    }
    const left = scale[i] === 0 ? 0 : 1 - dot(l, row, row, i);
    if (left > dependent) {
      l[row + i] = Math.sqrt(left);
      apart = Math.min(apart, left);
    } else lost.push(i);
  }
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const row = i * n;
    const pivot = l[row + i]!;
    if (pivot === 0) continue;
    for (let k = 0; k < i; k++) {
      const factor = l[row + k]!;
      if (factor !== 0) addRow(inverse, row, k * n, k + 1, -factor);
    }
    for (let j = 0; j < i; j++) inverse[row + j] = inverse[row + j]! / pivot;
    inverse[row + i] = 1 / pivot;
  }
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) inverse[i * n + j] = inverse[i * n + j]! * scale[j]!;
  return { inverse, lost, apart };
}

function dot(x: Float64Array, a: number, b: number, length: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 4 <= length; k += 4) {
    s0 += x[a + k]! * x[b + k]!;
    s1 += x[a + k + 1]! * x[b + k + 1]!;
    s2 += x[a + k + 2]! * x[b + k + 2]!;
    s3 += x[a + k + 3]! * x[b + k + 3]!;
  }
  for (; k < length; k++) s0 += x[a + k]! * x[b + k]!;
  return s0 + s1 + (s2 + s3);
}

function addRow(x: Float64Array, to: number, from: number, length: number, factor: number): void {
  for (let k = 0; k < length; k++) x[to + k] = x[to + k]! + factor * x[from + k]!;
}

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
    let j = 0;
    // Two entries at a time: row i is read once for them.
    for (; j + 1 < i; j += 2) {
      const first = j * n;
      const second = j * n + n;
      let a0 = 0;
      let a1 = 0;
      let b0 = 0;
      let b1 = 0;
      for (let k = 0; k < j; k += 2) {
        const x = l[row + k]!;
        const y = l[row + k + 1]!;
        a0 += x * l[first + k]!;
        a1 += y * l[first + k + 1]!;
        b0 += x * l[second + k]!;
        b1 += y * l[second + k + 1]!;
      }
      const share = scale[i]!;
      const x = over(gram[row + j]! * share * scale[j]! - a0 - a1, l[first + j]!);
      l[row + j] = x;
      const rest = gram[row + j + 1]! * share * scale[j + 1]! - b0 - b1 - x * l[second + j]!;
      l[row + j + 1] = over(rest, l[second + j + 1]!);
    }
    if (j < i) {
      let sum = 0;
      for (let k = 0; k < j; k++) sum += l[row + k]! * l[j * n + k]!;
      l[row + j] = over(gram[row + j]! * scale[i]! * scale[j]! - sum, l[j * n + j]!);
    }
    let left = scale[i] === 0 ? 0 : 1;
    for (let k = 0; k < i; k++) left -= l[row + k]! * l[row + k]!;
    if (left > dependent) {
      l[row + i] = Math.sqrt(left);
      apart = Math.min(apart, left);
    } else {
      // Nothing behind it is made of it.
      l.fill(0, row, row + i);
      lost.push(i);
    }
  }
  const inverse = invertLower(l, n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) inverse[i * n + j] = inverse[i * n + j]! * scale[j]!;
  return { inverse, lost, apart };
}

/** Rows that were lost have 0 on the diagonal, and are nowhere used. */
function over(x: number, pivot: number): number {
  return pivot === 0 ? 0 : x / pivot;
}

/** Rows with 0 on the diagonal stay zero. */
function invertLower(l: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const row = i * n;
    const pivot = l[row + i]!;
    if (pivot === 0) continue;
    let k = 0;
    // Four rows at a time: the sum is read and written once for them. Behind its diagonal a row of the inverse is zero.
    for (; k + 3 < i; k += 4) {
      const f0 = l[row + k]!;
      const f1 = l[row + k + 1]!;
      const f2 = l[row + k + 2]!;
      const f3 = l[row + k + 3]!;
      const r0 = k * n;
      const r1 = (k + 1) * n;
      const r2 = (k + 2) * n;
      const r3 = (k + 3) * n;
      for (let j = 0; j <= k + 3; j++) {
        const sum = f0 * inverse[r0 + j]! + f1 * inverse[r1 + j]! + f2 * inverse[r2 + j]! + f3 * inverse[r3 + j]!;
        inverse[row + j] = inverse[row + j]! - sum;
      }
    }
    for (; k < i; k++) {
      const factor = l[row + k]!;
      for (let j = 0; j <= k; j++) inverse[row + j] = inverse[row + j]! - factor * inverse[k * n + j]!;
    }
    for (let j = 0; j < i; j++) inverse[row + j] = inverse[row + j]! / pivot;
    inverse[row + i] = 1 / pivot;
  }
  return inverse;
}

import type { Matrix } from '../matrix.ts';

/** A truncated singular value decomposition: matrix ≈ u · diag(singular) · vᵀ. */
export interface Decomposition {
  /** What was asked for, or the smaller side of the matrix where that is less. */
  readonly rank: number;
  /** [rows, rank], orthonormal columns; the largest entry of each, by magnitude, is positive. */
  readonly u: Matrix;
  /** Descending. */
  readonly singular: Float64Array;
  /** [cols, rank], orthonormal columns. */
  readonly v: Matrix;
  /** The sum of squares of the whole matrix. */
  readonly squaredNorm: number;
}

/** Left and right vectors as rows: what products are fast with. */
export interface Triples {
  readonly left: Matrix;
  readonly singular: Float64Array;
  readonly right: Matrix;
}

/** Vectors as columns, signs as promised. */
export function decompositionOf({ left, singular, right }: Triples, squaredNorm: number): Decomposition {
  const signs = Float32Array.from({ length: left.rows }, (_, i) => signOfLargest(left, i));
  return { rank: left.rows, u: columns(left, signs), singular, v: columns(right, signs), squaredNorm };
}

function signOfLargest({ data, cols }: Matrix, row: number): number {
  let largest = 0;
  for (let k = row * cols; k < (row + 1) * cols; k++) {
    const x = data[k]!;
    // Of equal ones the first.
    if (Math.abs(x) > Math.abs(largest)) largest = x;
  }
  return largest < 0 ? -1 : 1;
}

/** The transposed matrix, row i times signs[i]. In tiles, since writing far apart is slow. */
function columns({ rows, cols, data }: Matrix, signs: Float32Array): Matrix {
  const turned = new Float32Array(data.length);
  const tile = 32;
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(rows, top + tile);
    for (let j = 0; j < cols; j++) {
      for (let i = top; i < bottom; i++) turned[j * rows + i] = data[i * cols + j]! * signs[i]!;
    }
  }
  return { rows: cols, cols: rows, data: turned };
}

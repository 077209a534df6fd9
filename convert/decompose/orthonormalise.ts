import type { Matrix } from '../matrix.ts';
import { inverseCholesky } from './inverse-cholesky.ts';
import type { Products } from './products.ts';

/** Rows that lie orthogonal, and others that went through the same. */
export interface Orthonormal {
  readonly rows: Matrix;
  readonly partner: Matrix | undefined;
}

/** Below this share of a row of its own, one round leaves errors that float32 would show. */
const shareForOneRound = 1e-8;

/**
 * Makes the rows of y [l, k], l ≤ k, orthonormal, each made of itself and those in front of it: by Cholesky of their
 * Gram matrix, which ONNX Runtime computes in float64, so that float32 rows are found as they are. Rows that depend on
 * those in front of them are replaced by random ones. `partner` [l, k] is multiplied by the same matrix.
 */
export async function orthonormalise(
  { gram, mix }: Pick<Products, 'gram' | 'mix'>,
  y: Matrix,
  fill: (into: Float32Array) => void,
  partner?: Matrix,
): Promise<Orthonormal> {
  let rows = y;
  let beside = partner;
  // Random rows are independent with certainty, for practical purposes; the last round is for those who are unlucky.
  for (let round = 0; ; round++) {
    const { inverse, lost, apart } = inverseCholesky((await gram(rows, 'rows')).data, rows.rows);
    const transform = { rows: rows.rows, cols: rows.rows, data: inverse };
    rows = await mix(transform, rows);
    if (beside) beside = await mix(transform, beside);
    for (const i of lost) fill(rows.data.subarray(i * rows.cols, (i + 1) * rows.cols));
    if (round === 3 || (lost.length === 0 && apart > shareForOneRound)) return { rows, partner: beside };
  }
}

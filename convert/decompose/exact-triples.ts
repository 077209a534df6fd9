import type { Matrix } from '../matrix.ts';
import type { Triples } from './decomposition.ts';
import { orthonormalise } from './orthonormalise.ts';
import type { Products } from './products.ts';
import { randomSigns } from './random-signs.ts';
import { symmetricEigen } from './symmetric-eigen.ts';

export interface ExactOptions {
  readonly rank: number;
  readonly seed: number;
  /** What brings the matrix's entries near 1: a power of two. */
  readonly scale: number;
}

/**
 * The leading singular triples of a matrix from the eigenvectors of its Gram matrix over the smaller side, in float64:
 * what float32 entries have is there, down to 1e-7 of the largest singular value. Time grows with the smaller side
 * cubed, in JavaScript.
 */
export async function exactTriples(
  products: Products,
  matrix: Matrix,
  { rank, seed, scale }: ExactOptions,
): Promise<Triples> {
  const wide = matrix.rows <= matrix.cols;
  const gram = await products.gram(matrix, wide ? 'rows' : 'cols');
  const { vectors } = symmetricEigen(gram.data, gram.rows, rank);
  // In float32, what the matrix makes of a vector may be too large or too small where its entries are just not.
  const found = { rows: rank, cols: gram.rows, data: vectors.map((x) => x * scale) };
  const near: Matrix = { rows: rank, cols: gram.rows, data: Float32Array.from(vectors) };
  const far = await products.mix(found, matrix, wide ? 'nn' : 'nt');
  const made = await byLength(products, near, far, seed);
  const singular = made.singular.map((length) => length / scale);
  return wide ? { left: made.near, singular, right: made.far } : { left: made.far, singular, right: made.near };
}

/** All singular values, by the same way. */
export async function exactValues({ gram }: Products, matrix: Matrix): Promise<Float64Array> {
  const { data, rows } = await gram(matrix, matrix.rows <= matrix.cols ? 'rows' : 'cols');
  return symmetricEigen(data, rows, 0).values.map((value) => Math.sqrt(Math.max(0, value)));
}

/**
 * Of orthonormal rows `near` and `far`, which is what the matrix makes of them: singular values, descending, and the
 * rows in that order, `far` orthonormal. Lengths are summed in float64: for small values more is right than in what an
 * eigenvalue's root has.
 */
export async function byLength(
  products: Pick<Products, 'gram' | 'mix'>,
  near: Matrix,
  far: Matrix,
  seed: number,
): Promise<{ readonly near: Matrix; readonly far: Matrix; readonly singular: Float64Array }> {
  const lengths = Float64Array.from({ length: far.rows }, (_, i) => lengthOf(far, i));
  const order = Array.from(lengths.keys()).sort((i, j) => lengths[j]! - lengths[i]! || i - j);
  const sorted = order.every((from, to) => from === to);
  const { rows } = await orthonormalise(products, sorted ? far : reordered(far, order), randomSigns(seed));
  return {
    near: sorted ? near : reordered(near, order),
    far: rows,
    singular: Float64Array.from(order, (i) => lengths[i]!),
  };
}

function lengthOf({ cols, data }: Matrix, row: number): number {
  let sum = 0;
  for (let k = row * cols; k < (row + 1) * cols; k++) sum += data[k]! * data[k]!;
  return Math.sqrt(sum);
}

function reordered({ rows, cols, data }: Matrix, order: readonly number[]): Matrix {
  const moved = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) moved.set(data.subarray(order[i]! * cols, (order[i]! + 1) * cols), i * cols);
  return { rows, cols, data: moved };
}

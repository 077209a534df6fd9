import type { Matrix } from '../matrix.ts';
import type { Triples } from './decomposition.ts';
import { byLength } from './exact-triples.ts';
import { orthonormalise } from './orthonormalise.ts';
import type { Products } from './products.ts';
import { randomSigns } from './random-signs.ts';
import { type SymmetricEigen, symmetricEigen } from './symmetric-eigen.ts';

export interface LeadingOptions {
  readonly rank: number;
  readonly seed: number;
  /** By how much, relative to the smallest loss there is at this rank, what is lost may be larger (Frobenius norms). */
  readonly tolerance: number;
  /** What brings the matrix's entries near 1: a power of two. */
  readonly scale: number;
  /** The sum of squares of the matrix. */
  readonly squaredNorm: number;
}

/** How many vectors are sought besides those wanted: the more, the further apart is what is wanted from what is not. */
export function soughtRank(rank: number): number {
  return rank + Math.max(10, Math.ceil(rank / 6));
}

/**
 * The leading singular triples of a matrix by subspace iteration on G = matrix · matrixᵀ (over the smaller side), with
 * Chebyshev polynomials of G in place of its powers: they are at most 1 on [0, cut] and grow as fast as polynomials can
 * above it, where `cut` is the smallest Ritz value of the vectors at hand (Zhou, Saad, Tiago and Chelikowsky 2006).
 * Rounds end when the residuals of the Ritz vectors say that no more than `tolerance` is to be gained.
 */
export async function leadingTriples(products: Products, matrix: Matrix, options: LeadingOptions): Promise<Triples> {
  const { rank, seed, tolerance, scale, squaredNorm } = options;
  const wide = matrix.rows <= matrix.cols;
  const along = wide ? 'rows' : 'cols';
  const near = wide ? matrix.rows : matrix.cols;
  const sought = Math.min(near, soughtRank(rank));
  const fill = randomSigns(seed);
  const forward = (y: Matrix) => products.product(y, matrix, wide ? 'nn' : 'nt', scale);
  const backward = (z: Matrix) => products.product(z, matrix, wide ? 'nt' : 'nn', scale);
  const step = (y: Matrix, previous: Matrix, product: number, ofY: number, ofPrevious: number) =>
    products.step(along, matrix, y, previous, { scale, product, y: ofY, previous: ofPrevious });
  const total = squaredNorm * scale * scale;

  const random: Matrix = { rows: sought, cols: near, data: new Float32Array(sought * near) };
  fill(random.data);
  let basis = (await orthonormalise(products, await step(random, random, 1, 0, 0), fill)).rows;
  for (let round = 0; ; round++) {
    const far = await forward(basis);
    const ritz = symmetricEigen((await products.gram(far, 'rows')).data, sought, sought);
    const turn = { rows: sought, cols: sought, data: ritz.vectors };
    const vectors = await products.mix(turn, basis);
    // The last rounds of matrices that never settle are not worth having.
    const images = round < mostRounds ? await products.mix(turn, await backward(far)) : undefined;
    if (images) removeLargest(images, vectors, ritz);
    const gain = images ? gainLeft(vectors, images, ritz, rank, total) : 0;
    if (!images || gain <= 2 * tolerance) {
      const kept = cutRows(vectors, rank);
      const found = await byLength(products, kept, cutRows(await products.mix(turn, far), rank), seed);
      const singular = found.singular.map((length) => length / scale);
      return wide ? { left: found.near, singular, right: found.far } : { left: found.far, singular, right: found.near };
    }
    basis = await filter({ products, step, fill }, vectors, images, ritz, degreeFor(ritz, rank, gain, tolerance));
  }
}

const mostRounds = 12;

/** Values beyond this many times the smallest show in the images of other vectors, by float32's rounding. */
const standsOut = 1e3;

/**
 * The images of vectors have no part along other vectors, except by rounding: float32 leaves 1e-7 of the largest value
 * there, which may be more than all that the image of a small one has. Takes it away, where values are that far apart.
 */
function removeLargest(images: Matrix, vectors: Matrix, { values }: SymmetricEigen): void {
  const { rows, cols } = vectors;
  const limit = standsOut * values[rows - 1]!;
  for (let j = 0; j < rows && values[j]! > limit; j++) {
    const large = vectors.data.subarray(j * cols, (j + 1) * cols);
    for (let i = j + 1; i < rows; i++) {
      const image = images.data.subarray(i * cols, (i + 1) * cols);
      let along = 0;
      for (let k = 0; k < cols; k++) along += image[k]! * large[k]!;
      for (let k = 0; k < cols; k++) image[k] = image[k]! - along * large[k]!;
    }
  }
}

/**
 * What the squared loss may still lose, as a share of it: for each wanted pair the squared residual over the distance of
 * its value from those that are not in the subspace, which lie at the smallest one that is, or below.
 */
function gainLeft(vectors: Matrix, images: Matrix, { values }: SymmetricEigen, rank: number, total: number): number {
  const last = values[values.length - 1]!;
  const largest = values[0]!;
  let kept = 0;
  let gain = 0;
  for (let i = 0; i < rank; i++) {
    const value = values[i]!;
    kept += Math.max(0, value);
    let square = 0;
    for (let k = i * vectors.cols; k < (i + 1) * vectors.cols; k++) {
      const x = images.data[k]! - value * vectors.data[k]!;
      square += x * x;
    }
    // What float32 makes of products is no residual.
    const left = square - 1e-13 * largest * Math.max(value, last);
    if (left > 0) gain += Math.min(value, left / Math.max(value - last, 1e-3 * value));
  }
  // float32 cannot tell a smaller loss from none.
  return gain / Math.max(total - kept, total * 1e-12);
}

function degreeFor({ values }: SymmetricEigen, rank: number, gain: number, tolerance: number): number {
  const cut = Math.max(values[values.length - 1]!, values[0]! * 1e-12);
  const growth = Math.acosh(Math.max(1.0001, (2 * values[rank - 1]!) / cut - 1));
  const wanted = Math.log(gain / tolerance) / 2 / growth;
  return Math.min(10, Math.max(2, Math.ceil(wanted)));
}

/** Growth of what is wanted most over what is not wanted, beyond which float32 forgets too much of the latter. */
const mostGrowth = 1e5;

/** A Chebyshev polynomial of G applied to Ritz vectors, whose images under G are given. */
async function filter(
  {
    products,
    step,
    fill,
  }: {
    readonly products: Products;
    readonly step: (y: Matrix, previous: Matrix, product: number, ofY: number, ofPrevious: number) => Promise<Matrix>;
    readonly fill: (into: Float32Array) => void;
  },
  vectors: Matrix,
  images: Matrix,
  { values }: SymmetricEigen,
  degree: number,
): Promise<Matrix> {
  const largest = values[0]!;
  const half = Math.max(values[values.length - 1]!, largest * 1e-12) / 2;
  let previous = vectors;
  let y: Matrix = { ...vectors, data: new Float32Array(vectors.data.length) };
  for (let k = 0; k < y.data.length; k++) y.data[k] = images.data[k]! / half - vectors.data[k]!;
  const each = 2 * (largest / half);
  let grown = each;
  for (let applied = 1; applied < degree; applied++) {
    if (grown * each > mostGrowth) {
      const made = await orthonormalise(products, y, fill, previous);
      y = made.rows;
      previous = made.partner!;
      grown = 1;
    }
    [previous, y] = [y, await step(y, previous, 2 / half, -2, -1)];
    grown *= each;
  }
  return (await orthonormalise(products, y, fill)).rows;
}

function cutRows({ cols, data }: Matrix, rows: number): Matrix {
  return { rows, cols, data: data.subarray(0, rows * cols) };
}

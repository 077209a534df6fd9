import type { Matrix } from '../matrix.ts';
import type { Triples } from './decomposition.ts';
import { byLength } from './exact-triples.ts';
import { orthonormalise } from './orthonormalise.ts';
import type { Products } from './products.ts';
import { randomSigns } from './random-signs.ts';
import { symmetricEigen } from './symmetric-eigen.ts';

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
  return rank + Math.max(10, Math.ceil(rank / 8));
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
  const [nearSize, farSize] = wide ? [matrix.rows, matrix.cols] : [matrix.cols, matrix.rows];
  const sought = Math.min(nearSize, soughtRank(rank));
  const fill = randomSigns(seed);
  const toFar = (near: Matrix) => products.product(near, matrix, wide ? 'nn' : 'nt', scale);
  const toNear = (far: Matrix) => products.product(far, matrix, wide ? 'nt' : 'nn', scale);
  const total = squaredNorm * scale * scale;
  const context: FilterContext = {
    ...{ products, fill },
    step: (y, previous, product, ofY, ofPrevious) =>
      products.step(wide ? 'rows' : 'cols', matrix, y, previous, {
        ...{ scale, product, y: ofY, previous: ofPrevious },
      }),
  };

  const random: Matrix = { rows: sought, cols: farSize, data: new Float32Array(sought * farSize) };
  fill(random.data);
  let basis = (await orthonormalise(products, await toNear(random), fill)).rows;
  for (let round = 0; ; round++) {
    const far = await toFar(basis);
    const gram = (await products.gram(far, 'rows')).data;
    if (round === 0) {
      // Where values are not too far apart, the first filter needs no vectors of its own, only to know what to damp.
      const { values } = symmetricEigen(gram, sought, 0);
      if (values[0]! < standsOut * values[sought - 1]!) {
        basis = await filter(context, basis, await toNear(far), values, degreeFor(values, rank, firstGain, tolerance));
        continue;
      }
    }
    const ritz = symmetricEigen(gram, sought, sought);
    const lengths = ritz.values.map((value) => Math.sqrt(Math.max(value, ritz.values[0]! * 1e-14)));
    const near = await products.mix({ rows: sought, cols: sought, data: ritz.vectors }, basis);
    const across = await products.mix(
      { rows: sought, cols: sought, data: ritz.vectors.map((x, k) => x / lengths[(k / sought) | 0]!) },
      far,
    );
    const images = await toNear(across);
    for (let k = 0; k < images.data.length; k++) images.data[k] = images.data[k]! * lengths[(k / nearSize) | 0]!;
    removeLargest(images, near, ritz.values);
    const gain = gainLeft(near, images, ritz.values, rank, total);
    if (gain <= 2 * tolerance || round === mostRounds) {
      const [left, right] = [cutRows(near, rank), cutRows(across, rank)];
      if (lengths[0]! > 1e4 * lengths[rank - 1]!) {
        // What is that small was not found at right angles to what is large.
        for (let k = 0; k < right.data.length; k++) right.data[k] = right.data[k]! * lengths[(k / farSize) | 0]!;
        const found = await byLength(products, left, right, seed);
        return triplesOf(wide, found.near, found.singular, found.far, scale);
      }
      return triplesOf(wide, left, lengths.slice(0, rank), right, scale);
    }
    basis = await filter(context, near, images, ritz.values, degreeFor(ritz.values, rank, gain, tolerance));
  }
}

function triplesOf(wide: boolean, near: Matrix, lengths: Float64Array, far: Matrix, scale: number): Triples {
  const singular = lengths.map((length) => length / scale);
  return wide ? { left: near, singular, right: far } : { left: far, singular, right: near };
}

/** What random vectors that went through the matrix once leave to gain, as a share of the squared loss. */
const firstGain = 0.5;

/** Rounds of a matrix that never settles, which float32 may keep it from. */
const mostRounds = 12;

/** Values beyond this many times the smallest show in the images of other vectors, by float32's rounding. */
const standsOut = 1e4;

/**
 * The images of vectors have no part along other vectors, except by rounding: float32 leaves 1e-7 of the largest value
 * there, which may be more than all that the image of a small one has. Takes it away, where values are that far apart.
 */
function removeLargest(images: Matrix, vectors: Matrix, values: Float64Array): void {
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
function gainLeft(vectors: Matrix, images: Matrix, values: Float64Array, rank: number, total: number): number {
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

/**
 * The degree that should be enough. What is wanted grows, above what is not, with the degree times the area hyperbolic
 * cosine; half of that is what is seen, as the smallest Ritz value is less than where what is not wanted ends.
 */
function degreeFor(values: Float64Array, rank: number, gain: number, tolerance: number): number {
  const cut = Math.max(values[values.length - 1]!, values[0]! * 1e-12);
  const growth = Math.acosh(Math.max(1.0001, (2 * values[rank - 1]!) / cut - 1));
  return Math.min(12, Math.max(2, Math.ceil(Math.log(gain / tolerance) / growth)));
}

interface FilterContext {
  readonly products: Products;
  /** product · G y + ofY · y + ofPrevious · previous */
  readonly step: (y: Matrix, previous: Matrix, product: number, ofY: number, ofPrevious: number) => Promise<Matrix>;
  readonly fill: (into: Float32Array) => void;
}

/** Growth of what is wanted most over what is not wanted, beyond which float32 forgets too much of the latter. */
const mostGrowth = 1e5;

/** A Chebyshev polynomial of G applied to orthonormal vectors, whose images under G are given; orthonormal again. */
async function filter(
  { products, step, fill }: FilterContext,
  vectors: Matrix,
  images: Matrix,
  values: Float64Array,
  degree: number,
): Promise<Matrix> {
  const largest = values[0]!;
  const half = Math.max(values[values.length - 1]!, largest * 1e-12) / 2;
  const each = 2 * (largest / half);
  let previous = vectors;
  let y: Matrix = { ...vectors, data: new Float32Array(vectors.data.length) };
  for (let k = 0; k < y.data.length; k++) y.data[k] = images.data[k]! / half - vectors.data[k]!;
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

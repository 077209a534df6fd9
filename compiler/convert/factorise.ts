import type { Matrix } from '../../convert/matrix.ts';
import { decodeFloats, encodeFloats, type StoredFloat } from '../../convert/stored-floats.ts';
import { invariant } from '../../ir/invariant.ts';

/** What converting asks of whoever decomposes matrices. */
export interface Decomposing {
  /** The truncated singular value decomposition: u [rows, rank] and v [cols, rank], orthonormal, singular descending. */
  readonly decompose: (
    matrix: Matrix,
    options: { readonly rank: number },
  ) => Promise<{ readonly u: Matrix; readonly singular: Float64Array; readonly v: Matrix }>;
  readonly product: (a: Matrix, b: Matrix) => Promise<Matrix>;
}

/** Factors B [rows, rank] · A [rank, cols], and the singular values that they come from. */
export interface Factors {
  readonly b: Matrix;
  readonly a: Matrix;
  readonly singular: Float64Array;
}

/** Factors of some rank of what sharing lost of a matrix. */
export type Factorise = (residual: Matrix, rank: number) => Promise<Factors>;

/**
 * A matrix whose smaller side is no longer is taken apart as a whole: it costs little, and leading vectors that are only
 * nearly the best change what a small model says more than they change the norm.
 */
export const wholeUpTo = 512;

/** The best factors of a matrix for the Frobenius norm: B = UΣ, A = Vᵀ. */
export function plainFactors({ decompose }: Pick<Decomposing, 'decompose'>): Factorise {
  return async (residual, rank) => {
    const { rows, cols } = residual;
    const least = Math.min(rows, cols);
    const { u, singular, v } = await decompose(residual, { rank: least <= wholeUpTo ? least : rank });
    invariant(u.cols >= rank && v.cols >= rank, `rank ${rank} was asked for, ${u.cols} came`);
    const b = new Float32Array(rows * rank);
    for (let i = 0; i < rows; i++)
      for (let k = 0; k < rank; k++) b[i * rank + k] = u.data[i * u.cols + k]! * singular[k]!;
    const a = new Float32Array(rank * cols);
    for (let j = 0; j < cols; j++) for (let k = 0; k < rank; k++) a[k * cols + j] = v.data[j * v.cols + k]!;
    return { b: { rows, cols: rank, data: b }, a: { rows: rank, cols, data: a }, singular };
  };
}

/**
 * Factors that change nothing: B is zero, A is what PEFT starts it as, evenly spread within ±1 / √cols. The same seed
 * gives the same numbers everywhere.
 */
export function zeroFactors(rows: number, cols: number, rank: number, seed: string): Omit<Factors, 'singular'> {
  const next = numbersFrom(seed);
  const bound = 1 / Math.sqrt(cols);
  const a = Float32Array.from({ length: rank * cols }, () => (2 * next() - 1) * bound);
  return { b: { rows, cols: rank, data: new Float32Array(rows * rank) }, a: { rows: rank, cols, data: a } };
}

/** Factors as they are written, in the type they are written in. */
export function encodeFactors(dtype: StoredFloat, { a, b }: Omit<Factors, 'singular'>) {
  return { a: encodeFloats(dtype, a.data), b: encodeFloats(dtype, b.data) };
}

/** Factors that were encoded, cut to a rank that is not larger than theirs: what is kept of them stays the same. */
export function cutFactors(
  dtype: StoredFloat,
  {
    rows,
    cols,
    rank,
    a,
    b,
  }: {
    readonly rows: number;
    readonly cols: number;
    readonly rank: number;
    readonly a: Uint8Array;
    readonly b: Uint8Array;
  },
  kept: number,
): { readonly a: Uint8Array; readonly b: Uint8Array } {
  const width = dtype === 'f32' ? 4 : 2;
  if (kept === rank) return { a, b };
  const narrow = new Uint8Array(rows * kept * width);
  for (let i = 0; i < rows; i++) narrow.set(b.subarray(i * rank * width, (i * rank + kept) * width), i * kept * width);
  return { a: a.subarray(0, kept * cols * width), b: narrow };
}

/** The squared norm of what encoded factors do not bring back of a residual. */
export async function lostOf(
  residual: Matrix,
  { a, b }: { readonly a: Uint8Array; readonly b: Uint8Array },
  rank: number,
  dtype: StoredFloat,
  { product }: Pick<Decomposing, 'product'>,
): Promise<number> {
  const { rows, cols, data } = residual;
  const back = await product(
    { rows, cols: rank, data: decodeFloats(dtype, b) },
    { rows: rank, cols, data: decodeFloats(dtype, a) },
  );
  let lost = 0;
  for (let i = 0; i < data.length; i++) {
    const difference = data[i]! - back.data[i]!;
    lost += difference * difference;
  }
  return lost;
}

/** Numbers from 0 to before 1: sfc32, seeded with the hash of a text. */
function numbersFrom(seed: string): () => number {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 1];
  const step = () => {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (const character of seed) {
    a ^= character.codePointAt(0)!;
    step();
  }
  for (let i = 0; i < 16; i++) step();
  return () => step() / 2 ** 32;
}

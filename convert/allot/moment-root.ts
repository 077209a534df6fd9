import { invariant } from '../../ir/invariant.ts';
import type { Matrix } from '../matrix.ts';

/**
 * L of a second moment C = E[x xᵀ] ≈ L · Lᵀ of inputs x: for any matrix M, the mean of ‖M x‖² is ‖M L‖² in the
 * Frobenius norm. L is lower triangular, or for wide inputs a diagonal, which knows the inputs' sizes and not how they
 * go together.
 */
export type MomentRoot =
  | {
      readonly kind: 'triangle';
      readonly size: number;
      /** Row i has its i + 1 first numbers, from i · (i + 1) / 2 on. */
      readonly lower: Float32Array;
    }
  | { readonly kind: 'diagonal'; readonly size: number; readonly diagonal: Float32Array };

/** a · bᵀ in float32. */
export type ProductTransposed = (a: Matrix, b: Matrix) => Promise<Matrix>;

/** Columns that are factorised in one go. */
const blockSize = 128;

/** Pivots of a matrix with ones on its diagonal are not smaller: float32 knows no more of them. */
const leastPivot = 1e-5;

/**
 * The Cholesky factor of a second moment [size, size] (row-major, both halves filled) plus `share` times its mean
 * diagonal on the diagonal. The matrix is brought to ones on its diagonal first, large products are in float32, what is
 * within a block in float64; directions in which less than float32 can tell is left count as a little more than they
 * are. A moment of zeros gives the identity. Needs size² numbers of 4 bytes besides the moment, which stays as it is.
 */
export async function triangularRoot(
  size: number,
  moment: Float64Array | Float32Array,
  share: number,
  productTransposed: ProductTransposed,
): Promise<MomentRoot> {
  invariant(moment.length === size * size, `${moment.length} numbers are no moment of ${size} inputs`);
  const added = regularisation(diagonalOf(size, moment), share);
  const scale = Float64Array.from({ length: size }, (_, i) => Math.sqrt(moment[i * size + i]! + added));
  const root = new Float32Array(size * size);
  for (let from = 0; from < size; from += blockSize) {
    const to = Math.min(size, from + blockSize);
    const width = to - from;
    // The block's columns of the scaled moment, from its diagonal down, less what earlier columns explain.
    const panel = new Float64Array((size - from) * width);
    for (let i = from; i < size; i++) {
      for (let j = from; j < to; j++) {
        const value = moment[i * size + j]! + (i === j ? added : 0);
        panel[(i - from) * width + j - from] = value / (scale[i]! * scale[j]!);
      }
    }
    if (from > 0) {
      const before = leading(root, size, from, size, from);
      const own = { rows: width, cols: from, data: before.data.subarray(0, width * from) };
      const explained = (await productTransposed(before, own)).data;
      for (let i = 0; i < panel.length; i++) panel[i] = panel[i]! - explained[i]!;
    }
    factorisePanel(panel, width);
    for (let i = from; i < size; i++) {
      for (let j = from; j < Math.min(to, i + 1); j++) {
        root[i * size + j] = panel[(i - from) * width + j - from]!;
      }
    }
  }
  const lower = new Float32Array((size * (size + 1)) / 2);
  for (let i = 0; i < size; i++) {
    const row = (i * (i + 1)) / 2;
    for (let j = 0; j <= i; j++) lower[row + j] = root[i * size + j]! * scale[i]!;
  }
  return { kind: 'triangle', size, lower };
}

/** As {@link triangularRoot}, of the diagonal of a moment alone. */
export function diagonalRoot(squares: Float64Array | Float32Array, share: number): MomentRoot {
  const added = regularisation(squares, share);
  return { kind: 'diagonal', size: squares.length, diagonal: Float32Array.from(squares, (x) => Math.sqrt(x + added)) };
}

/** L as a whole matrix, for products. */
export function rootMatrix({ size, lower }: Extract<MomentRoot, { readonly kind: 'triangle' }>): Matrix {
  const data = new Float32Array(size * size);
  for (let i = 0; i < size; i++) data.set(lower.subarray((i * (i + 1)) / 2, ((i + 1) * (i + 2)) / 2), i * size);
  return { rows: size, cols: size, data };
}

/** a · L⁻¹, computed in float64; a has as many columns as L. */
export function divideByRoot(a: Matrix, root: MomentRoot): Matrix {
  const { rows, cols, data } = a;
  invariant(cols === root.size, `${cols} columns, and a root of ${root.size}`);
  const quotient = Float64Array.from(data);
  if (root.kind === 'diagonal') {
    for (let i = 0; i < quotient.length; i++) quotient[i] = quotient[i]! / root.diagonal[i % cols]!;
  } else {
    const { lower } = root;
    for (let j = cols - 1; j >= 0; j--) {
      const row = (j * (j + 1)) / 2;
      const pivot = lower[row + j]!;
      for (let r = 0; r < rows; r++) {
        const at = r * cols;
        const value = quotient[at + j]! / pivot;
        quotient[at + j] = value;
        for (let i = 0; i < j; i++) quotient[at + i] = quotient[at + i]! - value * lower[row + i]!;
      }
    }
  }
  return { rows, cols, data: Float32Array.from(quotient) };
}

/** Cholesky of the square on top of a panel [.., width], and the rows below it divided by that. Fills the lower part. */
function factorisePanel(panel: Float64Array, width: number): void {
  const rows = panel.length / width;
  for (let i = 0; i < rows; i++) {
    const row = i * width;
    for (let j = 0; j <= Math.min(i, width - 1); j++) {
      const other = j * width;
      let value = panel[row + j]!;
      for (let k = 0; k < j; k++) value -= panel[row + k]! * panel[other + k]!;
      panel[row + j] = i === j ? Math.sqrt(Math.max(value, leastPivot)) : value / panel[other + j]!;
    }
  }
}

/** Rows from `from` to before `to` of the first `cols` columns. */
function leading(root: Float32Array, size: number, from: number, to: number, cols: number): Matrix {
  const data = new Float32Array((to - from) * cols);
  for (let i = from; i < to; i++) data.set(root.subarray(i * size, i * size + cols), (i - from) * cols);
  return { rows: to - from, cols, data };
}

function diagonalOf(size: number, moment: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: size }, (_, i) => moment[i * size + i]!);
}

/** What is added to every square; 1 where all are zero, so that nothing is divided by zero. */
function regularisation(squares: Float64Array | Float32Array, share: number): number {
  let sum = 0;
  for (const square of squares) sum += square;
  return sum === 0 ? 1 : (share * sum) / squares.length;
}

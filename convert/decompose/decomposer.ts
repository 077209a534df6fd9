import { type Result, success } from '../../files/diagnostics.ts';
import { invariant } from '../../ir/invariant.ts';
import type { Matrix } from '../matrix.ts';
import { type Decomposition, decompositionOf } from './decomposition.ts';
import { exactTriples, exactValues } from './exact-triples.ts';
import { leadingTriples, soughtRank } from './leading-triples.ts';
import { openProducts } from './products.ts';

export interface DecomposeOptions {
  /** Capped at the smaller side of the matrix. */
  readonly rank: number;
  /** Where random vectors start; the same one gives the same result on the same machine. 0 by default. */
  readonly seed?: number;
  /**
   * By how much what is lost may be larger, in the Frobenius norm, than the least that this rank allows: 1e-3 by
   * default. It is estimated; small matrices, and ranks that are not small, are exact whatever it says.
   */
  readonly tolerance?: number;
}

/** Singular value decompositions whose large products run in ONNX Runtime. One thing at a time. */
export interface Decomposer {
  /**
   * The leading singular triples of a matrix of finite numbers. Besides the matrix itself it holds vectors: at most
   * eight times (rank + rank / 6 + 10) · (rows + cols) numbers of 4 bytes, and of an exact decomposition two copies of
   * the matrix in float64. Rejects with a RuntimeFailure where ONNX Runtime fails, and with the reason of the signal.
   */
  readonly decompose: (matrix: Matrix, options: DecomposeOptions) => Promise<Decomposition>;
  /** The `count` largest singular values, all by default, descending. */
  readonly spectrum: (matrix: Matrix, options?: Partial<DecomposeOptions>) => Promise<Float64Array>;
  /** a · b in float32, either of them transposed. */
  readonly product: (
    a: Matrix,
    b: Matrix,
    flags?: { readonly transposeA?: boolean; readonly transposeB?: boolean },
  ) => Promise<Matrix>;
  readonly close: () => Promise<void>;
}

export interface DecomposerOptions {
  /** Of ONNX Runtime; all cores by default. */
  readonly threads?: number | undefined;
  /** Looked at before each product. */
  readonly signal?: AbortSignal | undefined;
}

/** Fails with the diagnostics of `openSession` where onnxruntime-node is missing or does not run. */
export async function openDecomposer(options: DecomposerOptions = {}): Promise<Result<Decomposer>> {
  const opened = await openProducts(options);
  if (!opened.ok) return opened;
  const products = opened.value;

  const decompose: Decomposer['decompose'] = async (matrix, { rank: wanted, seed = 0, tolerance = 1e-3 }) => {
    invariant(Number.isInteger(wanted) && wanted >= 0, `rank ${wanted} is no size`);
    options.signal?.throwIfAborted();
    const { rows, cols } = matrix;
    const rank = Math.min(wanted, rows, cols);
    const squaredNorm = squaredNormOf(matrix);
    if (rank === 0 || squaredNorm === 0) return decompositionOf(nothing(rows, cols, rank), squaredNorm);
    const scale = powerOfTwoNear(Math.sqrt((rows * cols) / squaredNorm));
    const triples = isSmall(matrix, rank)
      ? await exactTriples(products, matrix, { rank, seed, scale })
      : await leadingTriples(products, matrix, { rank, seed, tolerance, scale, squaredNorm });
    return decompositionOf(triples, squaredNorm);
  };

  return success({
    decompose,
    async spectrum(matrix, { rank: wanted = Number.POSITIVE_INFINITY, ...rest } = {}) {
      const rank = Math.min(wanted, matrix.rows, matrix.cols);
      if (!isSmall(matrix, rank)) return (await decompose(matrix, { rank, ...rest })).singular;
      return (await exactValues(products, matrix)).slice(0, rank);
    },
    product: (a, b, { transposeA = false, transposeB = false } = {}) =>
      products.product(a, b, `${transposeA ? 't' : 'n'}${transposeB ? 't' : 'n'}`),
    close: products.close,
  });
}

/** Where seeking a few vectors is no faster than finding all. */
function isSmall({ rows, cols }: Matrix, rank: number): boolean {
  const near = Math.min(rows, cols);
  return near <= 96 || 2 * soughtRank(rank) > near;
}

function squaredNormOf({ rows, cols, data }: Matrix): number {
  invariant(data.length === rows * cols, `${data.length} numbers are no matrix of ${rows} × ${cols}`);
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 4 <= data.length; k += 4) {
    s0 += data[k]! * data[k]!;
    s1 += data[k + 1]! * data[k + 1]!;
    s2 += data[k + 2]! * data[k + 2]!;
    s3 += data[k + 3]! * data[k + 3]!;
  }
  for (; k < data.length; k++) s0 += data[k]! * data[k]!;
  const sum = s0 + s1 + (s2 + s3);
  invariant(Number.isFinite(sum), 'a matrix with infinities or NaN has no singular values');
  return sum;
}

/** Within what float32 has, with room for what is multiplied by it. */
function powerOfTwoNear(x: number): number {
  return 2 ** Math.max(-120, Math.min(120, Math.round(Math.log2(x))));
}

/** Any orthonormal vectors will do. */
function nothing(rows: number, cols: number, rank: number) {
  const unit = (length: number): Matrix => {
    const data = new Float32Array(rank * length);
    for (let i = 0; i < rank; i++) data[i * length + i] = 1;
    return { rows: rank, cols: length, data };
  };
  return { left: unit(rows), singular: new Float64Array(rank), right: unit(cols) };
}

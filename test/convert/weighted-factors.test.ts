import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { weightedFactors } from '../../compiler/convert/calibrate/weighted-factors.ts';
import {
  diagonalRoot,
  divideByRoot,
  type MomentRoot,
  rootMatrix,
  triangularRoot,
} from '../../convert/allot/moment-root.ts';
import type { Matrix } from '../../convert/matrix.ts';
import { randomStream } from '../support/random.ts';
import { exactDecomposer } from './exact-decomposer.ts';

const decomposing = exactDecomposer();

function transposed({ rows, cols, data }: Matrix): Matrix {
  return {
    rows: cols,
    cols: rows,
    data: Float32Array.from(data, (_, k) => data[(k % rows) * cols + Math.floor(k / rows)]!),
  };
}

const productTransposed = (a: Matrix, b: Matrix) => decomposing.product(a, transposed(b));

function randomMatrix(rows: number, cols: number, seed: number): Matrix {
  const random = randomStream(`${seed}`);
  return { rows, cols, data: Float32Array.from({ length: rows * cols }, () => random() - 0.5) };
}

/** The mean of x xᵀ of a few vectors whose sizes differ by place. */
function momentOf(size: number, vectors: number, seed: number): Float64Array {
  const { data } = randomMatrix(vectors, size, seed);
  const moment = new Float64Array(size * size);
  for (let v = 0; v < vectors; v++) {
    const x = Array.from({ length: size }, (_, i) => data[v * size + i]! * (1 + (i % 7)) ** 2);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) moment[i * size + j]! += (x[i]! * x[j]!) / vectors;
  }
  return moment;
}

/** moment + share · its mean diagonal. */
function regularised(size: number, moment: Float64Array, share: number): Float64Array {
  let trace = 0;
  for (let i = 0; i < size; i++) trace += moment[i * size + i]!;
  return moment.map((value, k) => value + (k % (size + 1) === 0 ? (share * trace) / size : 0));
}

/** trace(M C Mᵀ): the mean of ‖M x‖². */
function meanSquare({ rows, cols, data }: { rows: number; cols: number; data: ArrayLike<number> }, c: Float64Array) {
  let sum = 0;
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < cols; i++) {
      for (let j = 0; j < cols; j++) sum += data[r * cols + i]! * c[i * cols + j]! * data[r * cols + j]!;
    }
  }
  return sum;
}

describe('the root of a moment', () => {
  // One block, the edge of one, several; fewer vectors than inputs.
  test.each([
    [5, 40],
    [128, 300],
    [129, 20],
    [300, 500],
  ])('%i inputs, %i vectors: L times its transpose is the moment, regularised', async (size, vectors) => {
    const moment = momentOf(size, vectors, size);
    const root = await triangularRoot(size, moment, 1e-2, productTransposed);
    const l = rootMatrix(root as Extract<MomentRoot, { kind: 'triangle' }>);
    for (let i = 0; i < size; i++) {
      for (let j = i + 1; j < size; j++) expect(l.data[i * size + j]).toBe(0);
    }
    const back = await productTransposed(l, l);
    const wanted = regularised(size, moment, 1e-2);
    let worst = 0;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        const scale = Math.sqrt(wanted[i * size + i]! * wanted[j * size + j]!);
        worst = Math.max(worst, Math.abs(back.data[i * size + j]! - wanted[i * size + j]!) / scale);
      }
    }
    expect(worst).toBeLessThan(1e-5);
  });

  test('divides what it was multiplied by', async () => {
    const size = 150;
    const root = await triangularRoot(size, momentOf(size, 400, 3), 1e-2, productTransposed);
    const a = randomMatrix(4, size, 9);
    const l = rootMatrix(root as Extract<MomentRoot, { kind: 'triangle' }>);
    const again = divideByRoot(await decomposing.product(a, l), root);
    for (let i = 0; i < a.data.length; i++) expect(Math.abs(again.data[i]! - a.data[i]!)).toBeLessThan(1e-4);
  });

  test('inputs that are always zero are no reason to divide by zero', async () => {
    const root = await triangularRoot(3, new Float64Array(9), 1e-3, productTransposed);
    expect(root).toEqual({ kind: 'triangle', size: 3, lower: Float32Array.of(1, 0, 1, 0, 0, 1) });
    expect(diagonalRoot(new Float64Array(2), 1e-3)).toEqual({
      ...{ kind: 'diagonal', size: 2 },
      diagonal: Float32Array.of(1, 1),
    });
  });
});

describe.each(['triangle', 'diagonal'] as const)('factors weighted by a %s', (kind) => {
  test('no others nearby leave less, those for the Frobenius norm leave more', async () => {
    const [rows, cols, rank, share] = [7, 9, 2, 1e-3];
    const moment = momentOf(cols, 30, 4);
    const squares = Float64Array.from({ length: cols }, (_, i) => moment[i * cols + i]!);
    const root =
      kind === 'triangle' ? await triangularRoot(cols, moment, share, productTransposed) : diagonalRoot(squares, share);
    const diagonal = moment.map((value, k) => (k % (cols + 1) === 0 ? value : 0));
    const weights = regularised(cols, kind === 'triangle' ? moment : diagonal, share);
    const residual = randomMatrix(rows, cols, 5);
    const left = (a: ArrayLike<number>, b: ArrayLike<number>) => {
      const data = Float64Array.from(residual.data, (value, at) => {
        const [i, j] = [Math.floor(at / cols), at % cols];
        let back = 0;
        for (let k = 0; k < rank; k++) back += b[i * rank + k]! * a[k * cols + j]!;
        return value - back;
      });
      return meanSquare({ rows, cols, data }, weights);
    };
    const { a, b, singular } = await weightedFactors(root, decomposing)(residual, rank);
    const least = left(a.data, b.data);
    // What singular values say is brought back is.
    const whole = meanSquare(residual, weights);
    expect(whole - singular.slice(0, rank).reduce((sum, s) => sum + s * s, 0)).toBeCloseTo(least, 4);
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(1e-3, 1e-2, 0.1), (seed, size) => {
        const random = randomStream(`${seed}`);
        const moved = (values: Float32Array) => Float64Array.from(values, (x) => x + size * (random() - 0.5));
        expect(left(moved(a.data), moved(b.data))).toBeGreaterThanOrEqual(least * (1 - 1e-6));
      }),
      { numRuns: 200 },
    );
    const frobenius = await decomposing.decompose(residual, { rank });
    const scaled = frobenius.u.data.map((value, at) => value * frobenius.singular[at % rank]!);
    expect(left(transposed(frobenius.v).data, scaled)).toBeGreaterThan(1.05 * least);
  });
});

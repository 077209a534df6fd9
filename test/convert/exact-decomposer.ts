import type { Decomposing } from '../../compiler/convert/factorise.ts';
import type { Matrix } from '../../convert/matrix.ts';

/** Decomposes by one-sided Jacobi rotations in float64: slow, and right to the last digits. */
export function exactDecomposer(): Decomposing & { readonly close: () => void } {
  return {
    decompose: async (matrix, { rank }) => {
      const tall = matrix.rows >= matrix.cols;
      const { left, singular, right } = jacobi(tall ? matrix : transpose(matrix));
      const [u, v] = tall ? [left, right] : [right, left];
      return { u: cut(u, rank), singular: singular.slice(0, rank), v: cut(v, rank) };
    },
    product: async (a, b) => {
      const data = new Float32Array(a.rows * b.cols);
      const row = new Float64Array(b.cols);
      for (let i = 0; i < a.rows; i++) {
        row.fill(0);
        for (let k = 0; k < a.cols; k++) {
          const x = a.data[i * a.cols + k]!;
          for (let j = 0; j < b.cols; j++) row[j] = row[j]! + x * b.data[k * b.cols + j]!;
        }
        data.set(row, i * b.cols);
      }
      return { rows: a.rows, cols: b.cols, data };
    },
    close: () => {},
  };
}

/** Columns, each a vector of its own. */
type Columns = readonly Float64Array[];

function jacobi({ rows, cols, data }: Matrix) {
  const a: Columns = Array.from({ length: cols }, (_, j) =>
    Float64Array.from({ length: rows }, (_, i) => data[i * cols + j]!),
  );
  const v: Columns = Array.from({ length: cols }, (_, j) =>
    Float64Array.from({ length: cols }, (_, i) => (i === j ? 1 : 0)),
  );
  for (let sweep = 0, turned = true; turned && sweep < 30; sweep++) {
    turned = false;
    for (let p = 0; p < cols; p++) {
      for (let q = p + 1; q < cols; q++) {
        const [x, y] = [a[p]!, a[q]!];
        let [pp, qq, pq] = [0, 0, 0];
        for (let i = 0; i < rows; i++) {
          pp += x[i]! * x[i]!;
          qq += y[i]! * y[i]!;
          pq += x[i]! * y[i]!;
        }
        if (pq === 0 || Math.abs(pq) <= 1e-12 * Math.sqrt(pp * qq)) continue;
        turned = true;
        const zeta = (qq - pp) / (2 * pq);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        rotate(x, y, c, c * t);
        rotate(v[p]!, v[q]!, c, c * t);
      }
    }
  }
  const norms = a.map((column) => Math.sqrt(column.reduce((sum, z) => sum + z * z, 0)));
  const order = norms.map((_, i) => i).sort((i, j) => norms[j]! - norms[i]!);
  const left = order.map((i) => a[i]!.map((z) => (norms[i] === 0 ? 0 : z / norms[i]!)));
  return {
    left: gathered(left, rows),
    singular: Float64Array.from(order, (i) => norms[i]!),
    right: gathered(
      order.map((i) => v[i]!),
      cols,
    ),
  };
}

function rotate(x: Float64Array, y: Float64Array, c: number, s: number): void {
  for (let i = 0; i < x.length; i++) {
    const z = x[i]!;
    x[i] = c * z - s * y[i]!;
    y[i] = s * z + c * y[i]!;
  }
}

function gathered(columns: Columns, rows: number): Matrix {
  const data = new Float32Array(rows * columns.length);
  for (const [j, column] of columns.entries()) for (let i = 0; i < rows; i++) data[i * columns.length + j] = column[i]!;
  return { rows, cols: columns.length, data };
}

function cut({ rows, cols, data }: Matrix, kept: number): Matrix {
  const narrow = new Float32Array(rows * kept);
  for (let i = 0; i < rows; i++) narrow.set(data.subarray(i * cols, i * cols + kept), i * kept);
  return { rows, cols: kept, data: narrow };
}

function transpose({ rows, cols, data }: Matrix): Matrix {
  const turned = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) turned[j * rows + i] = data[i * cols + j]!;
  return { rows: cols, cols: rows, data: turned };
}

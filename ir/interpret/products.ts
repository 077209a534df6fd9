import { invariant } from '../invariant.ts';
import { broadcastShape } from './elementwise.ts';
import { concat, expand, select, slice, transpose } from './movement.ts';
import { countOf, formatShape, makeTensor, type Tensor } from './tensor.ts';

/** x · weightᵀ + bias over the last axis: x [.., IN], weight [OUT, IN], bias [OUT] or [.., OUT]. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [outputs, width] = weight.shape as [number, number];
  invariant(x.shape.at(-1) === width, `cannot apply ${formatShape(weight)} to ${formatShape(x)}`);
  const rows = countOf(x.shape.slice(0, -1));
  const data = new Float64Array(rows * outputs);
  multiplyRows(x.data, weight.data, data, rows, outputs, width);
  if (bias) for (let i = 0; i < data.length; i++) data[i]! += bias.data[i % bias.data.length]!;
  return { dtype: x.dtype, shape: [...x.shape.slice(0, -1), outputs], data };
}

/** scale · b · (a · x): x [.., IN], a [RANK, IN], b [OUT, RANK], scale []. */
export function lowRank(x: Tensor, a: Tensor, b: Tensor, scale: Tensor): Tensor {
  const update = linear(linear(x, a), b);
  const by = scale.data[0]!;
  return { ...update, data: update.data.map((v) => v * by) };
}

/** lowRank of each row with the factors of its depth: x [ROWS, .., IN], a [LOOPS, RANK, IN], b [LOOPS, OUT, RANK]. */
export function lowRankByDepth(x: Tensor, a: Tensor, b: Tensor, scale: Tensor, depth: Tensor): Tensor {
  const rows = Array.from(depth.data, (d, row) =>
    lowRank(slice(x, 0, row, 1), select(a, 0, d), select(b, 0, d), select(scale, 0, d)),
  );
  const shape = [...x.shape.slice(0, -1), b.shape[1]!];
  return rows.length === 0 ? makeTensor(x.dtype, shape) : concat(rows, 0);
}

/** NumPy's matmul for two axes or more on either side. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  const [m, k] = a.shape.slice(-2) as [number, number];
  const [depth, n] = b.shape.slice(-2) as [number, number];
  invariant(k === depth, `cannot multiply ${formatShape(a)} by ${formatShape(b)}`);
  const batch = broadcastShape({ ...a, shape: a.shape.slice(0, -2) }, { ...b, shape: b.shape.slice(0, -2) });
  const left = expand(a, [...batch, m, k]).data;
  const axes = b.shape.map((_, axis) => axis);
  const columns = transpose(b, [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
  const right = expand(columns, [...batch, n, k]).data;
  const data = new Float64Array(countOf(batch) * m * n);
  for (let i = 0; i < countOf(batch); i++) {
    multiplyRows(
      left.subarray(i * m * k, (i + 1) * m * k),
      right.subarray(i * n * k, (i + 1) * n * k),
      data.subarray(i * m * n, (i + 1) * m * n),
      m,
      n,
      k,
    );
  }
  return { dtype: a.dtype, shape: [...batch, m, n], data };
}

/**
 * out[i, j] = a[i, :] · b[j, :] for a [rows, width] and b [columns, width]. Each sum runs in order on its own, so a row's
 * result does not depend on the others; four columns by two rows at a time keep the processor busy.
 */
function multiplyRows(
  a: Float64Array,
  b: Float64Array,
  out: Float64Array,
  rows: number,
  columns: number,
  width: number,
): void {
  for (let j = 0; j < columns; j += 4) {
    const wide = j + 4 <= columns;
    let i = 0;
    for (; wide && i + 2 <= rows; i += 2) multiplyTile(a, b, out, i, j, columns, width);
    for (; i < rows; i++) {
      for (let c = j; c < Math.min(j + 4, columns); c++) out[i * columns + c] = dot(a, i * width, b, c * width, width);
    }
  }
}

function multiplyTile(
  a: Float64Array,
  b: Float64Array,
  out: Float64Array,
  row: number,
  column: number,
  columns: number,
  width: number,
): void {
  const a0 = row * width;
  const a1 = a0 + width;
  const b0 = column * width;
  const b1 = b0 + width;
  const b2 = b1 + width;
  const b3 = b2 + width;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  for (let k = 0; k < width; k++) {
    const x0 = a[a0 + k]!;
    const x1 = a[a1 + k]!;
    const y0 = b[b0 + k]!;
    const y1 = b[b1 + k]!;
    const y2 = b[b2 + k]!;
    const y3 = b[b3 + k]!;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
  }
  const to = row * columns + column;
  out[to] = s00;
  out[to + 1] = s01;
  out[to + 2] = s02;
  out[to + 3] = s03;
  out[to + columns] = s10;
  out[to + columns + 1] = s11;
  out[to + columns + 2] = s12;
  out[to + columns + 3] = s13;
}

/** The sum of products of two runs, in order. */
export function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, width: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += a[aStart + k]! * b[bStart + k]!;
  return sum;
}

import { endianness } from 'node:os';
import { byteLength, type DType, dtypes, isFloat } from '../../ir/dtype.ts';
import { invariant } from '../../ir/invariant.ts';
import { roundTo } from '../../ir/rounding.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import { type WeightExpr, type WeightType, weightType } from '../../ir/weights.ts';
import type { WeightFiles } from './weight-files.ts';
import { widenBf16 } from './widen-bf16.ts';

/** Evaluates a weight piece by piece, holding little more than the piece. */
export interface WeightReader {
  readonly type: WeightType;
  /** Elements `start` to before `start + count` in C order, exactly as the type holds them. */
  readonly read: (start: number, count: number) => Promise<Float64Array>;
}

/** Elements of an operand that a transpose looks through at a time. */
const scanned = 2 ** 20;

/** What reads `expr`. Integers beyond 2^53 lose their last digits; whoever wants the bytes of a file copies them. */
export function weightReader(expr: WeightExpr, files: WeightFiles): WeightReader {
  const type = weightType(expr);
  const read = (): WeightReader['read'] => {
    switch (expr.kind) {
      case 'file': {
        const width = dtypes[expr.dtype].bits / 8;
        invariant(Number.isInteger(width), `weights of ${expr.dtype} cannot be read in part`);
        return async (start, count) =>
          decode(expr.dtype, await files.read(expr.file, expr.offset + start * width, count * width));
      }
      case 'literal':
        return async (start, count) => Float64Array.from(expr.values.slice(start, start + count));
      case 'cast': {
        const of = weightReader(expr.of, files);
        if (holds(type.dtype, of.type.dtype)) return of.read;
        return async (start, count) => round(type, await of.read(start, count));
      }
      case 'offset': {
        const of = weightReader(expr.of, files);
        return async (start, count) => {
          const values = await of.read(start, count);
          for (let i = 0; i < values.length; i++) values[i] = values[i]! + expr.by;
          return round(type, values);
        };
      }
      case 'transpose':
        return transposed(weightReader(expr.of, files), expr.perm);
      case 'concat':
        return joined(
          expr.of.map((part) => weightReader(part, files)),
          type,
          expr.axis,
        );
      case 'stack':
        return stacked(
          expr.of.map((part) => weightReader(part, files)),
          type,
        );
      case 'merge':
        return merged(
          weightReader(expr.base, files),
          weightReader(expr.a, files),
          weightReader(expr.b, files),
          expr.scale,
        );
    }
  };
  return { type, read: read() };
}

export function elements(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** Rounds every element to what `type` can hold. */
function round(type: WeightType, values: Float64Array): Float64Array {
  const { dtype } = type;
  if (dtype === 'f32') for (let i = 0; i < values.length; i++) values[i] = Math.fround(values[i]!);
  else if (isFloat(dtype)) for (let i = 0; i < values.length; i++) values[i] = roundTo(dtype, values[i]!);
  return values;
}

/** Whether every number of type `narrow` is one of type `wide`. */
function holds(wide: DType, narrow: DType): boolean {
  return wide === narrow || wide === 'f64' || (wide === 'f32' && (narrow === 'f16' || narrow === 'bf16'));
}

/** As decodeTensor, but an order of magnitude faster for what checkpoints are made of. */
function decode(dtype: DType, bytes: Uint8Array): Float64Array {
  if (dtype !== 'bf16' || endianness() !== 'LE') return decodeTensor(dtype, bytes);
  return Float64Array.from(new Float32Array(widenBf16(bytes).buffer));
}

/**
 * An element goes from its index in the operand to its index in the result. For a part of the result the whole operand
 * is read once, in pieces, and what belongs to the part is kept: so ask for large parts.
 */
function transposed(of: WeightReader, perm: readonly number[]): WeightReader['read'] {
  const dims = of.type.dims;
  const total = elements(dims);
  const resultStrides = strides(perm.map((axis) => dims[axis]!));
  // How far apart neighbours along each axis of the operand are in the result.
  const strideOf = dims.map((_, axis) => resultStrides[perm.indexOf(axis)]!);
  const width = dims.at(-1) ?? 1;
  const step = strideOf.at(-1) ?? 1;
  const rowsAtATime = Math.max(1, Math.floor(scanned / Math.max(1, width)));
  return async (start, count) => {
    const part = new Float64Array(count);
    for (let row = 0; row * width < total; row += rowsAtATime) {
      const rows = Math.min(rowsAtATime, total / width - row);
      const values = await of.read(row * width, rows * width);
      for (let r = 0; r < rows; r++) {
        const first = target(row + r) - start;
        const from = Math.max(0, Math.ceil(-first / step));
        const to = Math.min(width, Math.ceil((count - first) / step));
        for (let i = from; i < to; i++) part[first + i * step] = values[r * width + i]!;
      }
    }
    return part;
  };

  /** Where the first element of a row of the operand goes. */
  function target(row: number): number {
    let index = 0;
    let rest = row;
    for (let axis = dims.length - 2; axis >= 0; axis--) {
      index += (rest % dims[axis]!) * strideOf[axis]!;
      rest = Math.floor(rest / dims[axis]!);
    }
    return index;
  }
}

function strides(dims: readonly number[]): readonly number[] {
  const result: number[] = [];
  let stride = 1;
  for (const dim of dims.toReversed()) {
    result.unshift(stride);
    stride *= dim;
  }
  return result;
}

/** A concatenation, seen as the axes before its own (`outer`) times what each part has from there on (`run`). */
function joined(parts: readonly WeightReader[], type: WeightType, axis: number): WeightReader['read'] {
  const runs = parts.map((part) => elements(part.type.dims.slice(axis)));
  const run = elements(type.dims.slice(axis));
  return async (start, count) => {
    const result = new Float64Array(count);
    if (count === 0) return result;
    const outerFirst = Math.floor(start / run);
    const outerEnd = Math.ceil((start + count) / run);
    let before = 0;
    for (const [i, part] of parts.entries()) {
      const length = runs[i]!;
      // What of this part lies in the first and the last run that are asked for.
      const first = outerFirst * length + clamp(start - outerFirst * run - before, length);
      const end = (outerEnd - 1) * length + clamp(start + count - (outerEnd - 1) * run - before, length);
      const values = end > first ? await part.read(first, end - first) : new Float64Array();
      for (let outer = outerFirst; outer < outerEnd; outer++) {
        const from = Math.max(outer * length, first);
        const to = Math.min((outer + 1) * length, end);
        const at = outer * run + before + (from - outer * length) - start;
        if (to > from) result.set(values.subarray(from - first, to - first), at);
      }
      before += length;
    }
    return result;
  };
}

/** A stack whose parts fill only the first elements of each axis; the rest is zero. */
function stacked(parts: readonly WeightReader[], type: WeightType): WeightReader['read'] {
  const padded = type.dims.slice(1);
  const each = elements(padded);
  return async (start, count) => {
    const result = new Float64Array(count);
    for (let i = Math.floor(start / Math.max(1, each)); i < parts.length && i * each < start + count; i++) {
      const part = parts[i]!;
      const first = Math.max(0, start - i * each);
      const end = Math.min(each, start + count - i * each);
      await fill(part, padded, first, end, result.subarray(i * each + first - start, i * each + end - start));
    }
    return result;
  };
}

/** Elements `first` to before `end` of `part` as it lies in the larger `padded`, into `into`. */
async function fill(
  part: WeightReader,
  padded: readonly number[],
  first: number,
  end: number,
  into: Float64Array,
): Promise<void> {
  const dims = part.type.dims;
  const width = padded.at(-1) ?? 1;
  const partWidth = dims.at(-1) ?? 1;
  if (elements(dims) === 0) return;
  // Rows of the part within the range, each with the place of its first element in `into`.
  const rows: { readonly row: number; readonly at: number }[] = [];
  for (let row = Math.floor(first / width); row * width < end; row++) {
    let rest = row;
    let inPart: number | undefined = 0;
    let stride = 1;
    for (let axis = dims.length - 2; axis >= 0 && inPart !== undefined; axis--) {
      const index = rest % padded[axis]!;
      inPart = index < dims[axis]! ? inPart + index * stride : undefined;
      stride *= dims[axis]!;
      rest = Math.floor(rest / padded[axis]!);
    }
    if (inPart !== undefined) rows.push({ row: inPart, at: row * width - first });
  }
  const [firstRow, lastRow] = [rows[0], rows.at(-1)];
  if (firstRow === undefined || lastRow === undefined) return;
  const values = await part.read(firstRow.row * partWidth, (lastRow.row - firstRow.row + 1) * partWidth);
  for (const { row, at } of rows) {
    const skipped = Math.max(0, -at);
    const kept = Math.min(partWidth, into.length - at);
    const from = (row - firstRow.row) * partWidth;
    if (kept > skipped) into.set(values.subarray(from + skipped, from + kept), at + skipped);
  }
}

/** Rows of base + scale · (b · a). `a` is small and kept. */
function merged(base: WeightReader, a: WeightReader, b: WeightReader, scale: number): WeightReader['read'] {
  const columns = base.type.dims[1]!;
  const rank = a.type.dims[0]!;
  let factors: Promise<Float64Array> | undefined;
  return async (start, count) => {
    const result = await base.read(start, count);
    if (count === 0) return result;
    factors ??= a.read(0, rank * columns);
    const wide = await factors;
    const firstRow = Math.floor(start / columns);
    const endRow = Math.ceil((start + count) / columns);
    const tall = await b.read(firstRow * rank, (endRow - firstRow) * rank);
    const update = new Float64Array(columns);
    for (let row = firstRow; row < endRow; row++) {
      product(tall.subarray((row - firstRow) * rank, (row - firstRow + 1) * rank), wide, update);
      const from = Math.max(0, start - row * columns);
      const to = Math.min(columns, start + count - row * columns);
      const at = row * columns - start;
      for (let i = from; i < to; i++) result[at + i] = result[at + i]! + scale * update[i]!;
    }
    return round(base.type, result);
  };
}

/** into = row · matrix. Sums in order of rank, four at a time to save passes over `into`. */
function product(row: Float64Array, matrix: Float64Array, into: Float64Array): void {
  const columns = into.length;
  let k = 0;
  into.fill(0);
  for (; k + 4 <= row.length; k += 4) {
    const [w, x, y, z] = [row[k]!, row[k + 1]!, row[k + 2]!, row[k + 3]!];
    const at = k * columns;
    for (let i = 0; i < columns; i++) {
      const p = at + i;
      into[i] =
        into[i]! +
        w * matrix[p]! +
        x * matrix[p + columns]! +
        y * matrix[p + 2 * columns]! +
        z * matrix[p + 3 * columns]!;
    }
  }
  for (; k < row.length; k++) {
    const w = row[k]!;
    for (let i = 0; i < columns; i++) into[i] = into[i]! + w * matrix[k * columns + i]!;
  }
}

function clamp(x: number, most: number): number {
  return Math.min(Math.max(x, 0), most);
}

/** Bytes that a weight takes. */
export function weightBytesLength(type: WeightType): number {
  return byteLength(type.dtype, elements(type.dims));
}

import { endianness } from 'node:os';
import { encodeTensor } from '../../ir/tensor-bytes.ts';
import { type FileWeight, type WeightExpr, weightType } from '../../ir/weights.ts';
import type { WeightFiles } from './weight-files.ts';
import { elements, weightReader } from './weight-reader.ts';
import { widenBf16 } from './widen-bf16.ts';

/** Elements per piece. A transpose reads its whole operand for each piece, so it gets larger ones. */
const piece = 2 ** 20;
const transposedPiece = 2 ** 23;

/** Bytes per piece where bytes are only copied. */
const copied = 2 ** 22;

/**
 * The bytes of a weight as safetensors stores them, little-endian in C order, in pieces of some megabytes.
 * Whatever the shape of the weight, no more than a few pieces are in memory, besides the factors of a LoRA product.
 */
export async function* weightBytes(expr: WeightExpr, files: WeightFiles): AsyncGenerator<Uint8Array, void, undefined> {
  if (expr.kind === 'file') {
    yield* copyBytes(expr, files, (bytes) => bytes, copied);
    return;
  }
  if (expr.kind === 'cast' && expr.to === 'f32' && expr.of.kind === 'file' && expr.of.dtype === 'bf16') {
    yield* copyBytes(expr.of, files, widenBf16, copied);
    return;
  }
  const parts = inSequence(expr);
  if (parts !== undefined) {
    for (const part of parts) yield* weightBytes(part, files);
    return;
  }
  const { type, read } = weightReader(expr, files);
  const total = elements(type.dims);
  // Whole rows, because a LoRA product works out whole rows.
  const row = Math.max(1, type.dims.at(-1) ?? 1);
  const atATime = row * Math.max(1, Math.floor((hasTranspose(expr) ? transposedPiece : piece) / row));
  for (let start = 0; start < total; start += atATime) {
    const values = await read(start, Math.min(atATime, total - start));
    yield type.dtype === 'f32' ? f32Bytes(values) : encodeTensor(type.dtype, values);
  }
}

/** Weights whose bytes, one after the other, are those of `expr`; undefined when they interleave or have gaps. */
function inSequence(expr: WeightExpr): readonly WeightExpr[] | undefined {
  if (expr.kind !== 'concat' && expr.kind !== 'stack') return undefined;
  const shapes = expr.of.map((part) => weightType(part).dims);
  if (expr.kind === 'stack') return shapes.every((dims) => `${dims}` === `${shapes[0]}`) ? expr.of : undefined;
  return shapes.every((dims) => dims.slice(0, expr.axis).every((dim) => dim === 1)) ? expr.of : undefined;
}

async function* copyBytes(
  weight: FileWeight,
  files: WeightFiles,
  change: (bytes: Uint8Array) => Uint8Array,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < weight.length; at += size) {
    yield change(await files.read(weight.file, weight.offset + at, Math.min(size, weight.length - at)));
  }
}

function f32Bytes(values: Float64Array): Uint8Array {
  return endianness() === 'LE' ? new Uint8Array(Float32Array.from(values).buffer) : encodeTensor('f32', values);
}

function hasTranspose(expr: WeightExpr): boolean {
  switch (expr.kind) {
    case 'file':
    case 'literal':
      return false;
    case 'transpose':
      return true;
    case 'cast':
    case 'offset':
      return hasTranspose(expr.of);
    case 'concat':
    case 'stack':
      return expr.of.some(hasTranspose);
    case 'merge':
      return [expr.base, expr.a, expr.b].some(hasTranspose);
  }
}

import { byteLength, type DType, dtypes } from './dtype.ts';
import { invariant } from './invariant.ts';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from './rounding.ts';

/**
 * The numbers that little-endian bytes stand for, in C order. Integers beyond 2^53 lose their last digits.
 * `count` is needed only for an odd number of i4, which are two to a byte, the first in the low half.
 */
export function decodeTensor(dtype: DType, bytes: Uint8Array, count?: number): Float64Array {
  const elements = count ?? Math.floor((bytes.byteLength * 8) / dtypes[dtype].bits);
  invariant(
    byteLength(dtype, elements) === bytes.byteLength,
    `${elements} elements of ${dtype} in ${bytes.byteLength} bytes`,
  );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = reader(dtype, view);
  const values = new Float64Array(elements);
  for (let i = 0; i < elements; i++) values[i] = read(i);
  return values;
}

/**
 * Little-endian bytes of numbers, each rounded to `dtype` (floats to nearest even). Integers must fit their type
 * already: quantising is arithmetic, not storage.
 */
export function encodeTensor(dtype: DType, values: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(byteLength(dtype, values.length));
  const view = new DataView(bytes.buffer);
  const write = writer(dtype, view);
  for (let i = 0; i < values.length; i++) write(i, values[i]!);
  return bytes;
}

// DataView throughout: a tensor may start at any byte of a file, and files are little-endian wherever Node runs.
function reader(dtype: DType, view: DataView): (index: number) => number {
  switch (dtype) {
    case 'f64':
      return (i) => view.getFloat64(i * 8, true);
    case 'f32':
      return (i) => view.getFloat32(i * 4, true);
    case 'f16':
      return (i) => f16ToNumber(view.getUint16(i * 2, true));
    case 'bf16':
      return (i) => bf16ToNumber(view.getUint16(i * 2, true));
    case 'i64':
      return (i) => Number(view.getBigInt64(i * 8, true));
    case 'i32':
      return (i) => view.getInt32(i * 4, true);
    case 'i8':
      return (i) => view.getInt8(i);
    case 'i4':
      return (i) => {
        const nibble = (view.getUint8(i >> 1) >> (i % 2 === 0 ? 0 : 4)) & 0xf;
        return nibble < 8 ? nibble : nibble - 16;
      };
    case 'u8':
      return (i) => view.getUint8(i);
    case 'bool':
      return (i) => (view.getUint8(i) === 0 ? 0 : 1);
  }
}

function writer(dtype: DType, view: DataView): (index: number, value: number) => void {
  switch (dtype) {
    case 'f64':
      return (i, x) => view.setFloat64(i * 8, x, true);
    case 'f32':
      return (i, x) => view.setFloat32(i * 4, x, true);
    case 'f16':
      return (i, x) => view.setUint16(i * 2, numberToF16(x), true);
    case 'bf16':
      return (i, x) => view.setUint16(i * 2, numberToBf16(x), true);
    case 'i64':
      return (i, x) => view.setBigInt64(i * 8, BigInt(x), true);
    case 'i32':
      return (i, x) => view.setInt32(i * 4, x, true);
    case 'i8':
      return (i, x) => view.setInt8(i, x);
    case 'i4':
      return (i, x) => view.setUint8(i >> 1, view.getUint8(i >> 1) | ((x & 0xf) << (i % 2 === 0 ? 0 : 4)));
    case 'u8':
      return (i, x) => view.setUint8(i, x);
    case 'bool':
      return (i, x) => view.setUint8(i, x === 0 ? 0 : 1);
  }
}

/** Element types of the IR, by the names that safetensors and PyTorch users know. */
export type DType = 'f64' | 'f32' | 'f16' | 'bf16' | 'i64' | 'i32' | 'i8' | 'i4' | 'u8' | 'bool';

/** Types with a fraction, which arithmetic rounds. */
export type FloatDType = 'f64' | 'f32' | 'f16' | 'bf16';

interface DTypeInfo {
  /** Bits of one element as it is stored. */
  readonly bits: number;
  readonly float: boolean;
}

export const dtypes: Readonly<Record<DType, DTypeInfo>> = {
  f64: { bits: 64, float: true },
  f32: { bits: 32, float: true },
  f16: { bits: 16, float: true },
  bf16: { bits: 16, float: true },
  i64: { bits: 64, float: false },
  i32: { bits: 32, float: false },
  i8: { bits: 8, float: false },
  i4: { bits: 4, float: false },
  u8: { bits: 8, float: false },
  bool: { bits: 8, float: false },
};

/** Bytes that `count` elements of `dtype` take; two i4 share a byte. */
export function byteLength(dtype: DType, count: number): number {
  return Math.ceil((dtypes[dtype].bits * count) / 8);
}

export function isFloat(dtype: DType): dtype is FloatDType {
  return dtypes[dtype].float;
}

export function isDType(name: string): name is DType {
  return Object.hasOwn(dtypes, name);
}

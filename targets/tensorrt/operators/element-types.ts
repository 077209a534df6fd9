import type { OnnxElementType } from '../../onnx/onnx-model.ts';

/** What TensorRT calls the element types that it computes with. */
export type TensorrtType =
  | 'FP32'
  | 'FP16'
  | 'BF16'
  | 'FP8'
  | 'FP4'
  | 'INT32'
  | 'INT64'
  | 'INT8'
  | 'INT4'
  | 'UINT8'
  | 'BOOL';

const names = {
  FLOAT: 'FP32',
  FLOAT16: 'FP16',
  BFLOAT16: 'BF16',
  FLOAT8E4M3FN: 'FP8',
  FLOAT4E2M1: 'FP4',
  INT32: 'INT32',
  INT64: 'INT64',
  INT8: 'INT8',
  INT4: 'INT4',
  UINT8: 'UINT8',
  BOOL: 'BOOL',
} as const satisfies Partial<Record<OnnxElementType, TensorrtType>>;

/** TensorRT's name of an element type; undefined for one that it has not. */
export function tensorrtTypeOf(type: OnnxElementType): TensorrtType | undefined {
  return (names as Partial<Record<OnnxElementType, TensorrtType>>)[type];
}

/** TensorRT's name of a type, or ONNX's where TensorRT has none. */
export function typeName(type: OnnxElementType): string {
  return tensorrtTypeOf(type) ?? type;
}

/** `FP32, FP16 or BF16`. */
export function listTypes(types: readonly string[], last = 'or'): string {
  return types.length < 2 ? `${types[0]}` : `${types.slice(0, -1).join(', ')} ${last} ${types.at(-1)}`;
}

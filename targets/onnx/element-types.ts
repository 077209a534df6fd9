import type { DType } from '../../ir/dtype.ts';
import type { OnnxElementType } from './onnx-model.ts';

/** What ONNX calls the IR's element types. */
export const onnxTypes = {
  f64: 'DOUBLE',
  f32: 'FLOAT',
  f16: 'FLOAT16',
  bf16: 'BFLOAT16',
  i64: 'INT64',
  i32: 'INT32',
  i8: 'INT8',
  i4: 'INT4',
  u8: 'UINT8',
  bool: 'BOOL',
} as const satisfies Record<DType, OnnxElementType>;

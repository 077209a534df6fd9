import type { DType } from '../../../ir/dtype.ts';
import { onnxTypes } from '../element-types.ts';
import type { OnnxElementType } from '../onnx-model.ts';

/** What the IR calls an element type; undefined for those that rtc does not compute with. */
export function dtypeOf(elementType: OnnxElementType): DType | undefined {
  const found = Object.entries(onnxTypes).find(([, onnx]) => onnx === elementType);
  return found?.[0] as DType | undefined;
}

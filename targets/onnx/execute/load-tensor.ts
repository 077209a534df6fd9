import { byteLength } from '../../../ir/dtype.ts';
import { countOf, makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../../ir/tensor-bytes.ts';
import type { OnnxTensor } from '../onnx-model.ts';
import { dtypeOf } from './dtype-of.ts';
import { messageOf, refuse } from './node-call.ts';

/** Reads `length` bytes from `offset` of a file beside the model. Rejects when there are none. */
export type ReadExternal = (location: string, offset: number, length: number) => Promise<Uint8Array>;

/** The numbers of an initializer or of a tensor in an attribute. Rejects when its bytes are missing or too few. */
export async function loadTensor({ elementType, dims, data }: OnnxTensor, read: ReadExternal): Promise<Tensor> {
  const dtype = dtypeOf(elementType) ?? refuse(`has element type ${elementType}, which rtc does not compute with`);
  const count = countOf(dims);
  const expected = byteLength(dtype, count);
  const length = data.kind === 'inline' ? data.bytes.length : data.length;
  if (length !== expected) refuse(`has ${length} bytes where ${dtype}[${dims}] takes ${expected}`);
  const bytes = data.kind === 'inline' ? data.bytes : await readData(data, read);
  if (bytes.length !== expected) refuse(`got ${bytes.length} bytes where ${dtype}[${dims}] takes ${expected}`);
  return makeTensor(dtype, dims, decodeTensor(dtype, bytes, count));
}

async function readData(
  { location, offset, length }: Extract<OnnxTensor['data'], { readonly kind: 'external' }>,
  read: ReadExternal,
): Promise<Uint8Array> {
  try {
    return await read(location, offset, length);
  } catch (error) {
    return refuse(`cannot be read: ${messageOf(error)}`);
  }
}

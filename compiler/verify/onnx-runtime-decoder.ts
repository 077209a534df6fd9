import { type Result, success } from '../../files/diagnostics.ts';
import type { DType } from '../../ir/dtype.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { f16ToNumber, numberToF16 } from '../../ir/rounding.ts';
import {
  type ElementType,
  type HostTensor,
  openSession,
  type SessionOptions,
  type TensorData,
} from '../../runtime/session.ts';
import type { Decoder, OpenDecoder } from './call.ts';

/** Loads an .onnx file, with its external data, into ONNX Runtime. */
export async function openOnnxRuntime(
  path: string,
  inputs: Decoder['inputs'],
  options: SessionOptions,
): Promise<Result<OpenDecoder>> {
  const opened = await openSession(path, options);
  if (!opened.ok) return opened;
  const session = opened.value;
  // An input that the graph has but never uses is not one of the session's.
  const used = new Set(session.inputs.map(({ name }) => name));
  return success({
    inputs: inputs.filter(({ name }) => used.has(name)),
    close: session.close,
    async run(feeds) {
      const native = Object.fromEntries([...feeds].map(([name, tensor]) => [name, toHost(tensor)]));
      const outputs = await session.run(native);
      return new Map(Object.entries(outputs).map(([name, tensor]) => [name, fromHost(tensor)]));
    },
  });
}

function toHost({ dtype, shape, data }: Tensor): HostTensor {
  return { type: dtype as ElementType, dims: shape, data: hostData(dtype, data) };
}

function hostData(dtype: DType, data: Float64Array): TensorData {
  switch (dtype) {
    case 'f32':
      return Float32Array.from(data);
    case 'f16':
      return Uint16Array.from(data, numberToF16);
    case 'i64':
      return BigInt64Array.from(data, BigInt);
    case 'i32':
      return Int32Array.from(data);
    case 'i8':
      return Int8Array.from(data);
    case 'u8':
    case 'bool':
      return Uint8Array.from(data);
    default:
      return data;
  }
}

function fromHost({ type, dims, data }: HostTensor): Tensor {
  const raw = data as unknown as ArrayLike<number | bigint>;
  // Node 24 has a Float16Array of numbers; Node 20 sees the bits.
  const isBits = type === 'f16' && raw instanceof Uint16Array;
  return makeTensor(
    type,
    dims,
    Float64Array.from(raw, (x) => (isBits ? f16ToNumber(Number(x)) : Number(x))),
  );
}

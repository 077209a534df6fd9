import { copyFileSync, linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { writeGenerated } from '../../compiler/package/write-generated.ts';
import type { DType } from '../../ir/dtype.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { invariant } from '../../ir/invariant.ts';
import { f16ToNumber, numberToF16 } from '../../ir/rounding.ts';
import { generatedFile } from '../../targets/onnx/lower.ts';
import type { OnnxFile } from '../../targets/onnx/onnx-file.ts';

/** A model loaded in ONNX Runtime, in a temporary folder with its weights beside it. */
export interface LoadedOnnx {
  readonly folder: string;
  /** Path of the .onnx. */
  readonly path: string;
  readonly run: (inputs: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;
  readonly close: () => Promise<void>;
}

/**
 * Writes `file` with its weights into a temporary folder and loads it.
 * @param modelFolder where the files are that weights point into
 */
export async function loadOnnx(file: OnnxFile, modelFolder: string): Promise<LoadedOnnx> {
  const { folder, path } = await placeOnnx(file, modelFolder);
  const session = await ort.InferenceSession.create(path, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  return {
    folder,
    path,
    async run(inputs) {
      const feeds: Record<string, ort.Tensor> = {};
      // An input that the graph does not use is not one of the session's.
      for (const name of session.inputNames) {
        const tensor = inputs.get(name);
        invariant(tensor, `no tensor for the input "${name}"`);
        feeds[name] = toOrt(tensor);
      }
      const outputs = await session.run(feeds);
      return new Map(Object.entries(outputs).map(([name, tensor]) => [name, fromOrt(tensor)]));
    },
    async close() {
      await session.release();
      rmSync(folder, { recursive: true });
    },
  };
}

/** As {@link loadOnnx}, without loading. */
export async function placeOnnx(
  file: OnnxFile,
  modelFolder: string,
): Promise<{ readonly folder: string; readonly path: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'rtc-onnx-'));
  for (const linked of file.linked) {
    mkdirSync(dirname(join(folder, linked)), { recursive: true });
    try {
      linkSync(join(modelFolder, linked), join(folder, linked));
    } catch {
      // Another file system.
      copyFileSync(join(modelFolder, linked), join(folder, linked));
    }
  }
  if (file.generated.length > 0) {
    const written = await writeGenerated(file.generated, {
      absolutePath: join(folder, generatedFile),
      shown: generatedFile,
      pathOf: (name) => join(modelFolder, name),
    });
    invariant(written.ok, 'generated weights could not be written');
  }
  const path = join(folder, file.name);
  writeFileSync(path, file.bytes);
  return { folder, path };
}

export function toOrt({ dtype, shape, data }: Tensor): ort.Tensor {
  switch (dtype) {
    case 'f64':
      return new ort.Tensor('float64', data, shape);
    case 'f32':
      return new ort.Tensor('float32', Float32Array.from(data), shape);
    case 'f16':
      return new ort.Tensor('float16', Uint16Array.from(data, numberToF16), shape);
    case 'i64':
      return new ort.Tensor('int64', BigInt64Array.from(data, BigInt), shape);
    case 'i32':
      return new ort.Tensor('int32', Int32Array.from(data), shape);
    case 'i8':
      return new ort.Tensor('int8', Int8Array.from(data), shape);
    case 'u8':
      return new ort.Tensor('uint8', Uint8Array.from(data), shape);
    case 'bool':
      return new ort.Tensor('bool', Uint8Array.from(data), shape);
    default:
      throw new Error(`ONNX Runtime for Node takes no ${dtype}`);
  }
}

const ortTypes: Readonly<Record<string, DType>> = {
  float64: 'f64',
  float32: 'f32',
  float16: 'f16',
  int64: 'i64',
  int32: 'i32',
  int8: 'i8',
  uint8: 'u8',
  bool: 'bool',
};

export function fromOrt(tensor: ort.Tensor): Tensor {
  const dtype = ortTypes[tensor.type];
  invariant(dtype, `an output is ${tensor.type}`);
  const raw = tensor.data as unknown as ArrayLike<number | bigint>;
  // Node 24 has a Float16Array of its own; Node 20 sees the bits.
  const isBits = dtype === 'f16' && raw instanceof Uint16Array;
  const data = Float64Array.from(raw, (x) => (isBits ? f16ToNumber(Number(x)) : Number(x)));
  return makeTensor(dtype, tensor.dims, data);
}

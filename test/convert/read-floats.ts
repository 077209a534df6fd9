import { readFileSync } from 'node:fs';
import { readModel } from '../../compiler/read/read-model.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';

/** A tensor that was read back, in C order. */
export interface Floats {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

/** Every tensor of a model, by name, whatever files they are in. */
export async function floatsOf(model: string): Promise<ReadonlyMap<string, Floats>> {
  const read = await readModel(model);
  if (!read.ok) throw new Error(JSON.stringify(read.diagnostics));
  return new Map(
    [...read.value.tensors.values()].map(({ name, dtype, shape, offset, length, file }) => {
      const bytes = readFileSync(file.absolutePath).subarray(offset, offset + length);
      return [name, { dtype, shape, values: decodeTensor(dtype, bytes) }];
    }),
  );
}

/** W + B · A, in float64, of a linear module and its factors at a depth; without factors W. */
export function withFactors(tensors: ReadonlyMap<string, Floats>, path: string, depth: number): Float64Array {
  const base = tensors.get(`${path}.weight`)!;
  const a = tensors.get(`${path}.lora_A.depth_${depth}.weight`);
  const b = tensors.get(`${path}.lora_B.depth_${depth}.weight`);
  const sum = base.values.slice();
  if (a === undefined || b === undefined) return sum;
  const [rank, cols] = a.shape as readonly [number, number];
  for (let i = 0; i < b.shape[0]!; i++) {
    for (let k = 0; k < rank; k++) {
      const x = b.values[i * rank + k]!;
      for (let j = 0; j < cols; j++) sum[i * cols + j] = sum[i * cols + j]! + x * a.values[k * cols + j]!;
    }
  }
  return sum;
}

import { decodeFloats, encodeFloats, type StoredFloat } from '../../convert/stored-floats.ts';
import { readTensorChunks } from '../../files/read-tensor.ts';
import { dtypes } from '../../ir/dtype.ts';
import type { SourceTensor } from '../read/source-model.ts';
import type { StoredTensor } from './stored-tensors.ts';

/** Elements that are in memory at a time, of each source. */
const elementsAtATime = 2 ** 20;

/** The numbers of a tensor in pieces, as float32, which holds them exactly. */
export async function* readFloats(tensor: SourceTensor): AsyncGenerator<Float32Array, void, undefined> {
  // Checked when the model was read: weights are of these types.
  const dtype = tensor.dtype as StoredFloat;
  const bytes = (elementsAtATime * dtypes[dtype].bits) / 8;
  for await (const chunk of readTensorChunks(tensor.file.absolutePath, tensor, bytes)) yield decodeFloats(dtype, chunk);
}

/** The bytes of a stored tensor in pieces: the mean of its sources in float64, rounded once to its type. */
export async function* storedBytes({ sources, dtype }: StoredTensor): AsyncGenerator<Uint8Array, void, undefined> {
  const [first, ...others] = sources;
  if (others.length === 0 && first!.dtype === dtype) {
    yield* readTensorChunks(first!.file.absolutePath, first!);
    return;
  }
  const rest = others.map(readFloats);
  try {
    for await (const chunk of readFloats(first!)) {
      const sum = Float64Array.from(chunk);
      for (const other of rest) {
        const next = await other.next();
        if (next.done !== true) for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + next.value[i]!;
      }
      if (others.length > 0) for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! / sources.length;
      yield encodeFloats(dtype, sum);
    }
  } finally {
    // Closes the files.
    for (const other of rest) await other.return();
  }
}

/** A stored tensor as it will be read back: rounded to its type. */
export async function storedFloats(tensor: StoredTensor): Promise<Float32Array> {
  const floats = new Float32Array(tensor.shape.reduce((product, dim) => product * dim, 1));
  let at = 0;
  for await (const bytes of storedBytes(tensor)) {
    const chunk = decodeFloats(tensor.dtype, bytes);
    floats.set(chunk, at);
    at += chunk.length;
  }
  return floats;
}

/** What sharing lost of a matrix, original − shared, into `into`; and the squared norms of original and difference. */
export async function subtractShared(
  original: SourceTensor,
  shared: Float32Array,
  into: Float32Array,
): Promise<{ readonly original: number; readonly residual: number }> {
  let at = 0;
  let [whole, lost] = [0, 0];
  for await (const chunk of readFloats(original)) {
    for (let i = 0; i < chunk.length; i++) {
      const value = chunk[i]!;
      const difference = value - shared[at + i]!;
      into[at + i] = difference;
      whole += value * value;
      lost += difference * difference;
    }
    at += chunk.length;
  }
  return { original: whole, residual: lost };
}

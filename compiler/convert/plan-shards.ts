import type { TensorShape } from '../../files/write-safetensors.ts';
import { byteLength } from '../../ir/dtype.ts';

/** A weight file to be written. */
export interface Shard {
  readonly file: string;
  readonly tensors: readonly TensorShape[];
}

/**
 * Deals tensors to files as Hugging Face does: in their order, a new file where one would grow beyond `most` bytes. A
 * tensor that is larger has a file of its own. One file is called model.safetensors.
 */
export function planShards(tensors: readonly TensorShape[], most: number): readonly Shard[] {
  const dealt: TensorShape[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const { name, dtype, shape } of tensors) {
    const elements = shape.reduce((product, dim) => product * dim, 1);
    const bytes = byteLength(dtype, elements);
    if (size + bytes > most) {
      dealt.push([]);
      size = 0;
    }
    dealt.at(-1)!.push({ name, dtype, shape });
    size += bytes;
  }
  const number = (n: number) => String(n).padStart(5, '0');
  return dealt.map((each, i) => ({
    file: dealt.length === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(dealt.length)}.safetensors`,
    tensors: each,
  }));
}

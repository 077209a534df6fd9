import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { decodeFloats, type StoredFloat } from '../../convert/stored-floats.ts';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { readTensorChunks } from '../../files/read-tensor.ts';
import type { SourceModel, SourceTensor } from '../read/source-model.ts';
import { told } from '../read/told.ts';
import type { ConvertedDType } from './convert-options.ts';

export interface ScanOptions {
  /** The type that everything will be written in, if it is not its own. */
  readonly dtype: ConvertedDType | undefined;
  /** The model as the user named it. */
  readonly shown: string;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** The largest number that half precision has; what is half a step further becomes infinite. */
const largestF16 = 65_504;

/**
 * Reads all weights once: fails where one is NaN or infinite, or would be in half precision, and says where.
 * Rejects with the signal's reason when it aborts.
 * @returns SHA-256 of the bytes of each tensor, by name
 */
export async function scanWeights(
  tensors: readonly SourceTensor[],
  { dtype, shown, signal, onBytes }: ScanOptions,
): Promise<Result<ReadonlyMap<string, string>>> {
  const hashes = new Map<string, string>();
  const found: { readonly tensor: SourceTensor; readonly what: string }[] = [];
  for (const tensor of tensors) {
    const hash = createHash('sha256');
    const tally = tallier(dtype === 'f16' && tensor.dtype !== 'f16');
    try {
      for await (const chunk of readTensorChunks(tensor.file.absolutePath, tensor)) {
        signal?.throwIfAborted();
        hash.update(chunk);
        tally.look(decodeFloats(tensor.dtype as StoredFloat, chunk));
        onBytes?.(chunk.length);
      }
    } catch (error) {
      signal?.throwIfAborted();
      return failure(fileDiagnostic(error, { file: join(shown, tensor.file.path) }, 'read'));
    }
    hashes.set(tensor.name, hash.digest('hex'));
    const what = tally.tell(tensor.shape);
    if (what !== undefined) found.push({ tensor, what });
  }
  if (found.length === 0) return success(hashes);
  const problems = told(found, 'not-finite', { file: shown }, ({ tensor, what }) => ({
    location: { file: join(shown, tensor.file.path), path: tensor.name },
    message: `Tensor "${tensor.name}" has ${what}.`,
  }));
  const hint = 'A mean with such a number is one, too. The file may be damaged, or its training has gone wrong.';
  return failure(...problems.map((problem): Diagnostic => ({ ...problem, hint })));
}

/** Counts what is not finite and remembers the first. */
function tallier(narrows: boolean) {
  let seen = 0;
  let count = 0;
  let first: { readonly value: number; readonly index: number } | undefined;
  const limit = narrows ? largestF16 + 16 : Number.POSITIVE_INFINITY;
  return {
    look: (values: Float32Array) => {
      for (let i = 0; i < values.length; i++) {
        // False for NaN, too.
        if (Math.abs(values[i]!) < limit) continue;
        count++;
        first ??= { value: values[i]!, index: seen + i };
      }
      seen += values.length;
    },
    tell: (shape: readonly number[]): string | undefined => {
      if (first === undefined) return undefined;
      const { value, index } = first;
      const place = `[${placeOf(index, shape).join(', ')}]`;
      const more = count === 1 ? '' : `, and ${count - 1} more like it`;
      if (Number.isFinite(value)) return `${value} at ${place}${more}, beyond the ${largestF16} of F16`;
      return `${Number.isNaN(value) ? 'NaN' : value > 0 ? 'infinity' : '-infinity'} at ${place}${more}`;
    },
  };
}

function placeOf(index: number, shape: readonly number[]): readonly number[] {
  let rest = index;
  const place: number[] = [];
  for (const dim of shape.toReversed()) {
    place.unshift(rest % dim);
    rest = Math.floor(rest / dim);
  }
  return place;
}

/** The tensors that converting reads, in the order of their bytes: nothing that is only kept by old versions. */
export function usedTensors({ files }: SourceModel, used: ReadonlySet<string>): readonly SourceTensor[] {
  return files.flatMap((file) =>
    [...file.tensors.values()].flatMap((entry) => (used.has(entry.name) ? [{ ...entry, file }] : [])),
  );
}

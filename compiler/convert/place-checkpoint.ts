import { failure, type Result } from '../../files/diagnostics.ts';
import { invariant } from '../../ir/invariant.ts';
import { placeFolder } from '../package/place-folder.ts';
import { inputsOf } from '../package/write-package.ts';
import { linearModules, loraNames } from '../read/expected-tensors.ts';
import { readModel } from '../read/read-model.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ConvertResult } from './convert-result.ts';
import { type DecomposedMatrix, goneFromWork } from './decompose-residuals.ts';
import { cutFactors } from './factorise.ts';
import type { Conversion } from './plan-conversion.ts';
import { storedConfig } from './stored-config.ts';
import { storedBytes } from './tensor-values.ts';
import type { WorkFolder } from './work-folder.ts';
import { type Checkpoint, type CheckpointTensor, checkpointBytes, writeCheckpoint } from './write-checkpoint.ts';

/** As Hugging Face writes them. */
export const defaultShardBytes = 5e9;

/** Writes the checkpoint, whole or not at all, and reads it again as anybody will. */
export async function placeCheckpoint(
  conversion: Conversion,
  matrices: readonly DecomposedMatrix[],
  options: ConvertOptions,
  work: WorkFolder,
): Promise<Result<ConvertResult['files']>> {
  const { model, shared } = conversion;
  const { out, dtype, norms = 'shared', shardBytes = defaultShardBytes, signal, onProgress } = options;
  const withFactors = new Set(matrices.flatMap(({ rank, matrix }) => (rank > 0 ? [matrix.module] : [])));
  const checkpoint: Checkpoint = {
    source: model,
    shared,
    norms,
    config: storedConfig(model, shared, dtype),
    targets: linearModules(model.spec).flatMap(({ path }) => (withFactors.has(path) ? [path] : [])),
    tensors: checkpointTensors(conversion, matrices, work),
    shardBytes,
  };
  const total = checkpointBytes(checkpoint.tensors, shardBytes);
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    onProgress?.({ step: 'write', done, total, unit: 'bytes' });
  };
  try {
    return await placeFolder({ out, inputs: inputsOf(model), signal }, async (staged) => {
      const files = await writeCheckpoint(checkpoint, { staged, out, signal, onBytes });
      if (!files.ok) return files;
      const again = await readModel(staged);
      invariant(again.ok, `rtc cannot read what it has written: ${again.ok ? '' : again.diagnostics[0]?.message}`);
      return files;
    });
  } catch (error) {
    if (error instanceof GoneFromWork) return failure(goneFromWork(work));
    throw error;
  }
}

class GoneFromWork extends Error {}

/** Every tensor in the order of the model, the factors of a matrix behind it. */
function checkpointTensors(
  { model, stored }: Conversion,
  matrices: readonly DecomposedMatrix[],
  work: WorkFolder,
): readonly CheckpointTensor[] {
  const factors = new Map<string, CheckpointTensor[]>();
  for (const { matrix, rank, key, dtype } of matrices) {
    const { use, module, rows, cols, shared } = matrix;
    if (rank === 0 || use.depth === undefined) continue;
    const [a, b] = loraNames(`${model.spec.names.layers}.${use.stored}.${module}`, use.depth);
    const bytes = (which: 'a' | 'b') =>
      async function* () {
        const finished = await work.read(key);
        if (finished === undefined) throw new GoneFromWork();
        yield cutFactors(dtype, finished, rank)[which];
      };
    const of = factors.get(shared.name) ?? [];
    of.push({ name: a, dtype, shape: [rank, cols], bytes: bytes('a') });
    of.push({ name: b, dtype, shape: [rows, rank], bytes: bytes('b') });
    factors.set(shared.name, of);
  }
  return stored.flatMap((tensor) => {
    const { name, dtype, shape } = tensor;
    return [{ name, dtype, shape, bytes: () => storedBytes(tensor) }, ...(factors.get(name) ?? [])];
  });
}

import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SharedLayers } from '../../convert/sharing.ts';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { layoutSafetensors, type TensorShape, writeSafetensors } from '../../files/write-safetensors.ts';
import { byteLength } from '../../ir/dtype.ts';
import { copy } from '../package/link-or-copy.ts';
import { flush } from '../package/write-generated.ts';
import type { SourceModel } from '../read/source-model.ts';
import { planShards, type Shard } from './plan-shards.ts';

/** A tensor of the new checkpoint, and where its bytes come from when they are asked for. */
export interface CheckpointTensor extends TensorShape {
  readonly bytes: () => AsyncIterable<Uint8Array>;
}

export interface Checkpoint {
  readonly source: SourceModel;
  readonly shared: SharedLayers;
  readonly norms: 'shared' | 'per-depth';
  /** config.json as it will be. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Linear modules that have factors. */
  readonly targets: readonly string[];
  /** In the order of the model, which decides what goes into which shard. */
  readonly tensors: readonly CheckpointTensor[];
  readonly shardBytes: number;
}

export interface WriteCheckpointOptions {
  /** An empty folder. */
  readonly staged: string;
  /** The folder as the user would name it. */
  readonly out: string;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** What the files of a checkpoint will take, in bytes, but for tokenizers and the like. */
export function checkpointBytes(tensors: readonly TensorShape[], shardBytes: number): number {
  return planShards(tensors, shardBytes).reduce((sum, shard) => sum + layoutSafetensors(shard.tensors, pt).size, 0);
}

/** As Hugging Face's files say that PyTorch wrote them; some readers insist. */
const pt = { format: 'pt' };

/**
 * Fills a folder: model.json, config.json, weights in shards with an index as Hugging Face has them, and what lies
 * beside the original for its tokenizer. Bytes are on the disk when this returns. Rejects with the signal's reason when
 * it aborts.
 * @returns every file and its size, sorted
 */
export async function writeCheckpoint(
  checkpoint: Checkpoint,
  { staged, out, signal, onBytes }: WriteCheckpointOptions,
): Promise<Result<readonly { readonly path: string; readonly bytes: number }[]>> {
  const { source, tensors, shardBytes, config } = checkpoint;
  const shards = planShards(tensors, shardBytes);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const shard of shards) {
    const absolutePath = join(staged, shard.file);
    try {
      const written = await writeSafetensors(
        { absolutePath, path: shard.file, shown: join(out, shard.file) },
        shard.tensors,
        async function* ({ name }) {
          for await (const piece of byName.get(name)!.bytes()) {
            signal?.throwIfAborted();
            yield piece;
            onBytes?.(piece.length);
          }
        },
        pt,
      );
      if (!written.ok) return written;
      await flush(absolutePath);
    } catch (error) {
      signal?.throwIfAborted();
      return failure(fileDiagnostic(error, { file: (error as NodeJS.ErrnoException).path ?? source.folder }, 'read'));
    }
  }
  const indexed = shards.length > 1;
  const texts = new Map<string, unknown>([
    ['config.json', config],
    ['model.json', modelJson(checkpoint, indexed ? indexName : shards[0]!.file)],
    ...(indexed ? [[indexName, weightIndex(shards)] as const] : []),
  ]);
  for (const [path, value] of texts) {
    try {
      await writeText(join(staged, path), `${JSON.stringify(value, undefined, 2)}\n`);
    } catch (error) {
      return failure(fileDiagnostic(error, { file: join(out, path) }, 'write'));
    }
  }
  for (const path of source.companions) {
    const from = join(source.folder, path);
    const copied = await copy({ from, to: join(staged, path), shown: join(out, path), signal });
    if (!copied.ok) return copied;
  }
  const paths = [...shards.map(({ file }) => file), ...texts.keys(), ...source.companions].sort();
  const files = await Promise.all(paths.map(async (path) => ({ path, bytes: (await stat(join(staged, path))).size })));
  return success(files);
}

const indexName = 'model.safetensors.index.json';

function modelJson({ shared, norms, targets }: Checkpoint, weights: string): Readonly<Record<string, unknown>> {
  const { prelude, block, loops, coda, order, uses } = shared;
  const recursion = {
    ...(order === 'listed' ? { layers: uses.map(({ stored }) => stored) } : { prelude, block, loops, coda }),
    ...(order === 'sequence' && { order }),
    ...(norms === 'per-depth' && { norms }),
  };
  return {
    format: 'rtc-model',
    version: 1,
    config: 'config.json',
    weights: [weights],
    recursion,
    ...(targets.length > 0 && { lora: { targets } }),
  };
}

function weightIndex(shards: readonly Shard[]): Readonly<Record<string, unknown>> {
  const all = shards.flatMap(({ file, tensors }) => tensors.map((tensor) => ({ file, ...tensor })));
  const elements = (shape: readonly number[]) => shape.reduce((product, dim) => product * dim, 1);
  const total = all.reduce((sum, { dtype, shape }) => sum + byteLength(dtype, elements(shape)), 0);
  const files = all.map(({ name, file }) => [name, file] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  return { metadata: { total_size: total }, weight_map: Object.fromEntries(files) };
}

async function writeText(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

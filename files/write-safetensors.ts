import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { byteLength, type DType, dtypes } from '../ir/dtype.ts';
import { invariant } from '../ir/invariant.ts';
import { failure, type Result, success } from './diagnostics.ts';
import { fileDiagnostic } from './file-diagnostic.ts';
import { type SafetensorsFile, safetensorsDtypes, type TensorEntry } from './safetensors.ts';

/** A tensor to be written. */
export interface TensorShape {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Where everything will be in a file, before any data is there. */
export interface SafetensorsLayout {
  /** The 8 bytes of length and the padded JSON. */
  readonly header: Uint8Array;
  /** In the order of their bytes. */
  readonly entries: readonly TensorEntry[];
  /** Of the whole file, in bytes. */
  readonly size: number;
}

/** The bytes of one tensor, in as many pieces as is convenient. */
export type TensorChunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Lays out a file as Hugging Face's writer does: the widest types first (so that each tensor starts at a multiple of
 * its element's size), then by name; the header padded with spaces to 8 bytes. The same tensors give the same bytes,
 * in whatever order they come.
 */
export function layoutSafetensors(
  tensors: readonly TensorShape[],
  metadata: Readonly<Record<string, string>> = {},
): SafetensorsLayout {
  const ordered = tensors.toSorted(
    (a, b) => dtypes[b.dtype].bits - dtypes[a.dtype].bits || compare(a.dtype, b.dtype) || compare(a.name, b.name),
  );
  invariant(new Set(tensors.map((t) => t.name)).size === tensors.length, 'two tensors of one name in a file');
  // From a list of pairs, not an object, whose integer-like keys would come first.
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) {
    const sorted = Object.entries(metadata).toSorted(([a], [b]) => compare(a, b));
    fields.push(`"__metadata__":{${sorted.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`);
  }
  let begin = 0;
  const placed = ordered.map(({ name, dtype, shape }) => {
    const length = byteLength(
      dtype,
      shape.reduce((product, dim) => product * dim, 1),
    );
    const entry = { name, dtype, shape, begin, length };
    const description = { dtype: formatName(dtype), shape, data_offsets: [begin, begin + length] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(description)}`);
    begin += length;
    return entry;
  });
  const json = Buffer.from(`{${fields.join(',')}}`, 'utf8');
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  const entries = placed.map(({ begin: from, ...entry }) => ({ ...entry, offset: header.length + from }));
  return { header, entries, size: header.length + begin };
}

/**
 * Writes a safetensors file, asking for each tensor's bytes when their turn comes, in the order of the layout, so that
 * no more than a chunk is in memory. A full disk and the like come back as diagnostics; the half-written file stays
 * for the caller to remove.
 * @param file `absolutePath`: where; `path`: relative to the package; `shown`: as the user would name it
 */
export async function writeSafetensors(
  file: { readonly absolutePath: string; readonly path: string; readonly shown: string },
  tensors: readonly TensorShape[],
  chunksOf: (tensor: TensorEntry) => TensorChunks,
  metadata: Readonly<Record<string, string>> = {},
): Promise<Result<SafetensorsFile>> {
  const layout = layoutSafetensors(tensors, metadata);
  const located = { file: file.shown };
  let handle: FileHandle;
  try {
    handle = await open(file.absolutePath, 'w');
  } catch (error) {
    return failure(fileDiagnostic(error, located, 'write'));
  }
  try {
    const failed = await writeAll(handle, layout, chunksOf);
    if (failed !== undefined) return failure(fileDiagnostic(failed.error, located, 'write'));
  } finally {
    await handle.close();
  }
  return success({
    path: file.path,
    absolutePath: file.absolutePath,
    size: layout.size,
    dataStart: layout.header.length,
    headerHash: createHash('sha256').update(layout.header).digest('hex'),
    metadata,
    tensors: new Map(layout.entries.map((entry) => [entry.name, entry])),
  });
}

/** Only what writing throws is the file's fault; what `chunksOf` throws passes through. */
async function writeAll(
  handle: FileHandle,
  layout: SafetensorsLayout,
  chunksOf: (tensor: TensorEntry) => TensorChunks,
): Promise<{ readonly error: unknown } | undefined> {
  let failed = await writeFully(handle, layout.header);
  for (const entry of layout.entries) {
    let written = 0;
    for await (const chunk of chunksOf(entry)) {
      failed ??= await writeFully(handle, chunk);
      if (failed !== undefined) return failed;
      written += chunk.byteLength;
    }
    invariant(written === entry.length, `tensor "${entry.name}" has ${entry.length} bytes, ${written} were given`);
  }
  return failed;
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<{ readonly error: unknown } | undefined> {
  try {
    for (let at = 0; at < bytes.byteLength; ) at += (await handle.write(bytes, at)).bytesWritten;
    return undefined;
  } catch (error) {
    return { error };
  }
}

function formatName(dtype: DType): string {
  const found = Object.entries(safetensorsDtypes).find(([, ours]) => ours === dtype);
  invariant(found !== undefined, `safetensors has no type ${dtype}`);
  return found[0];
}

/** By code units, the same on every machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { StoredFloat } from '../../convert/stored-floats.ts';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { makeFolders } from '../../files/make-folders.ts';
import { readSafetensors } from '../../files/safetensors.ts';
import { layoutSafetensors } from '../../files/write-safetensors.ts';
import { decodeTensor, encodeTensor } from '../../ir/tensor-bytes.ts';

/** What is known of a matrix when its work is done. */
export interface FinishedMatrix {
  readonly dtype: StoredFloat;
  readonly rows: number;
  readonly cols: number;
  readonly rank: number;
  /** Factors as they will be written: A [rank, cols] and B [rows, rank]. */
  readonly a: Uint8Array;
  readonly b: Uint8Array;
  /** As many singular values as were computed, descending. */
  readonly singular: Float64Array;
  /** Squared norms: of the original, of what sharing lost, of what the factors do not bring back. */
  readonly original: number;
  readonly residual: number;
  readonly lost: number;
}

/** Finished matrices beside the output, by a key that says what each was made from. */
export interface WorkFolder {
  /** Absolute. */
  readonly path: string;
  /** Undefined where there is none, or one whose bytes are not what was written. */
  readonly read: (key: string) => Promise<FinishedMatrix | undefined>;
  /** Whole or not at all. What a power failure makes of it, reading finds out. */
  readonly write: (key: string, matrix: FinishedMatrix) => Promise<Result<undefined>>;
  readonly remove: () => Promise<void>;
  /** Removes the folder if nothing finished is in it; true where something is kept. */
  readonly leave: () => Promise<boolean>;
}

/** Marks a folder as one that rtc may remove. Its number says how matrices are kept; another number starts anew. */
const markName = 'rtc-convert-work.json';
const mark = `${JSON.stringify({ format: 'rtc-convert-work', version: 1 })}\n`;

/** Where the work of a conversion into `out` is. */
export function workPath(out: string): string {
  return `${resolve(out)}.rtc-convert`;
}

/** Opens the work folder of `out`, makes it if need be. Fails when something else has its name. */
export async function openWorkFolder(
  out: string,
  { restart }: { readonly restart: boolean },
): Promise<Result<WorkFolder>> {
  const path = workPath(out);
  const location = { file: `${out}.rtc-convert` };
  try {
    const names: readonly string[] = await readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const marked = names.includes(markName) && (await readFile(join(path, markName), 'utf8'));
    if (names.length > 0 && marked === false) {
      return failure({
        severity: 'error',
        code: 'output-exists',
        location,
        message: `"${location.file}" is where finished matrices go, and it holds something else.`,
        hint: 'Remove it, or choose another folder with --out.',
      });
    }
    if (restart || (marked !== false && marked !== mark)) await rm(path, { recursive: true });
    makeFolders(path);
    // Half-written ones of a process that was killed.
    for (const name of names) if (name.endsWith('.part')) await rm(join(path, name), { force: true });
    await writeFile(join(path, markName), mark);
  } catch (error) {
    return failure(fileDiagnostic(error, location, 'write'));
  }
  const remove = () => rm(path, { recursive: true, force: true });
  return success({
    path,
    read: (key) => readMatrix(join(path, `${key}.safetensors`), key),
    write: async (key, matrix) => {
      try {
        await mkdir(path, { recursive: true });
        await writeMatrix(join(path, `${key}.safetensors`), key, matrix);
        return success(undefined);
      } catch (error) {
        return failure(fileDiagnostic(error, location, 'write'));
      }
    },
    remove,
    leave: async () => {
      const left: readonly string[] = await readdir(path).catch(() => []);
      // Somebody has put something else there.
      if (!left.includes(markName)) return false;
      const kept = left.some((name) => name !== markName && !name.endsWith('.part'));
      if (!kept) await remove();
      return kept;
    },
  });
}

async function writeMatrix(file: string, key: string, matrix: FinishedMatrix): Promise<void> {
  const { dtype, rows, cols, rank, a, b, singular, original, residual, lost } = matrix;
  const bytes = new Map<string, Uint8Array>([
    ['a', a],
    ['b', b],
    ['singular', encodeTensor('f64', singular)],
    ['norms', encodeTensor('f64', [original, residual, lost])],
  ]);
  const tensors = [
    { name: 'a', dtype, shape: [rank, cols] },
    { name: 'b', dtype, shape: [rows, rank] },
    { name: 'singular', dtype: 'f64' as const, shape: [singular.length] },
    { name: 'norms', dtype: 'f64' as const, shape: [3] },
  ];
  const data = layoutSafetensors(tensors).entries.map(({ name }) => bytes.get(name)!);
  const { header } = layoutSafetensors(tensors, { key, sha256: hashOf(data) });
  const part = `${file}.part`;
  const handle = await open(part, 'w');
  try {
    for (const piece of [header, ...data]) {
      for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten;
    }
  } finally {
    await handle.close();
  }
  await rename(part, file);
}

async function readMatrix(file: string, key: string): Promise<FinishedMatrix | undefined> {
  const read = await readSafetensors(file, { path: file, shown: file });
  if (!read.ok || read.value.metadata.key !== key) return undefined;
  const { tensors, metadata, dataStart } = read.value;
  const content = await readFile(file);
  if (hashOf([content.subarray(dataStart)]) !== metadata.sha256) return undefined;
  const bytes = (name: string) => {
    const { offset, length } = tensors.get(name)!;
    return content.subarray(offset, offset + length);
  };
  const [a, b] = [tensors.get('a')!, tensors.get('b')!];
  const [original, residual, lost] = decodeTensor('f64', bytes('norms')) as unknown as [number, number, number];
  return {
    dtype: a.dtype as StoredFloat,
    rows: b.shape[0]!,
    cols: a.shape[1]!,
    rank: a.shape[0]!,
    a: bytes('a'),
    b: bytes('b'),
    singular: decodeTensor('f64', bytes('singular')),
    original,
    residual,
    lost,
  };
}

function hashOf(pieces: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { layoutSafetensors, writeSafetensors } from '../../files/write-safetensors.ts';
import { weightType } from '../../ir/weights.ts';
import type { GeneratedTensor } from '../../targets/onnx/onnx-file.ts';
import { weightBytes } from './weight-bytes.ts';
import { openWeightFiles } from './weight-files.ts';

export interface WriteGeneratedOptions {
  /** Where to write. */
  readonly absolutePath: string;
  /** The file as the user would name it. */
  readonly shown: string;
  /** Where the model's weight files are, by the names that weights have for them. */
  readonly pathOf: (file: string) => string;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** What rtc.json says of a file that rtc wrote. */
export interface WrittenFile {
  readonly size: number;
  readonly sha256: string;
}

/** How large the file of these tensors will be, in bytes. */
export function generatedSize(tensors: readonly GeneratedTensor[]): number {
  return layoutSafetensors(shapesOf(tensors)).size;
}

/**
 * Writes the tensors that no file has as the graph needs them, evaluating each in pieces: tens of megabytes in memory,
 * however large the file. The layout is the one that the graph's offsets come from. The bytes are on the disk when
 * this returns. Rejects with the signal's reason when it aborts; the half-written file stays for the caller to remove.
 */
export async function writeGenerated(
  tensors: readonly GeneratedTensor[],
  { absolutePath, shown, pathOf, signal, onBytes }: WriteGeneratedOptions,
): Promise<Result<WrittenFile>> {
  const expressions = new Map(tensors.map(({ name, expr }) => [name, expr]));
  const hash = createHash('sha256').update(layoutSafetensors(shapesOf(tensors)).header);
  const files = openWeightFiles(pathOf);
  try {
    const written = await writeSafetensors(
      { absolutePath, path: shown, shown },
      shapesOf(tensors),
      async function* ({ name }) {
        for await (const piece of weightBytes(expressions.get(name)!, files)) {
          signal?.throwIfAborted();
          hash.update(piece);
          yield piece;
          onBytes?.(piece.length);
        }
      },
    );
    if (!written.ok) return written;
    await flush(absolutePath);
    return success({ size: written.value.size, sha256: hash.digest('hex') });
  } catch (error) {
    signal?.throwIfAborted();
    const { path } = error as NodeJS.ErrnoException;
    return path === undefined || path === absolutePath
      ? failure(fileDiagnostic(error, { file: shown }, 'write'))
      : failure(fileDiagnostic(error, { file: path }, 'read'));
  } finally {
    await files.close();
  }
}

/** Waits until the disk has a file's bytes, or a folder's entries. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function shapesOf(tensors: readonly GeneratedTensor[]) {
  return tensors.map(({ name, expr }) => {
    const { dtype, dims } = weightType(expr);
    return { name, dtype, shape: dims };
  });
}

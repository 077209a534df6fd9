import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, open, realpath, rm, stat } from 'node:fs/promises';
import { failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import type { WrittenFile } from './write-generated.ts';

export interface TransferOptions {
  /** Absolute. */
  readonly from: string;
  /** Absolute; must not exist yet. */
  readonly to: string;
  /** The new file as the user would name it. */
  readonly shown: string;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Bytes that are in memory at a time. */
const chunk = 2 ** 22;

/** What says that a file system has no hard link to offer here, while a copy may do. */
const noLink = ['EXDEV', 'EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EINVAL'];

/**
 * Makes a file the same as another without using space where the file system allows: a hard link, else a clone that
 * shares blocks, else a copy. Links are made to what a symbolic link leads to, since runtimes refuse symbolic links.
 */
export async function linkOrCopy(options: TransferOptions): Promise<Result<'linked' | 'copied'>> {
  const { from, to, shown } = options;
  try {
    const target = await realpath(from);
    try {
      await link(target, to);
      return success('linked');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined || !noLink.includes(code)) throw error;
    }
    if (await clone(target, to)) return success('copied');
    const copied = await copy({ ...options, from: target });
    return copied.ok ? success('copied') : copied;
  } catch (error) {
    return failure(fileDiagnostic(error, { file: shown }, 'write'));
  }
}

/**
 * Copies a file in pieces; the bytes are on the disk when this returns.
 * Rejects with the signal's reason when it aborts.
 * @returns the size and SHA-256 of what was written
 */
export async function copy({ from, to, shown, signal, onBytes }: TransferOptions): Promise<Result<WrittenFile>> {
  const hash = createHash('sha256');
  let size = 0;
  let at: 'read' | 'write' = 'read';
  try {
    const source = await open(from, 'r');
    try {
      at = 'write';
      const target = await open(to, 'wx');
      try {
        const buffer = Buffer.alloc(chunk);
        for (;;) {
          signal?.throwIfAborted();
          at = 'read';
          const { bytesRead } = await source.read(buffer, 0, chunk, size);
          if (bytesRead === 0) break;
          at = 'write';
          hash.update(buffer.subarray(0, bytesRead));
          for (let done = 0; done < bytesRead; ) {
            done += (await target.write(buffer, done, bytesRead - done)).bytesWritten;
          }
          size += bytesRead;
          onBytes?.(bytesRead);
        }
        await target.sync();
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    return failure(fileDiagnostic(error, { file: at === 'read' ? from : shown }, at));
  }
  return success({ size, sha256: hash.digest('hex') });
}

async function clone(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return (await stat(to)).size === (await stat(from)).size;
  } catch {
    await rm(to, { force: true });
    return false;
  }
}

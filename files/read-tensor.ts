import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';

/** A run of bytes in a file, such as a tensor. */
export interface ByteRange {
  /** From the start of the file. */
  readonly offset: number;
  readonly length: number;
}

/** All bytes of one tensor at once: for small ones. Throws when the file is gone or has become shorter. */
export function readTensorSync(absolutePath: string, range: ByteRange): Uint8Array {
  const bytes = new Uint8Array(range.length);
  const file = openSync(absolutePath, 'r');
  try {
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(file, bytes, at, bytes.length - at, range.offset + at);
      if (read === 0) throw becameShorter(absolutePath, range);
      at += read;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
}

/**
 * The bytes of one tensor in pieces of `chunkBytes` (the last may be smaller), each a buffer of its own.
 * Throws when the file is gone or has become shorter.
 */
export async function* readTensorChunks(
  absolutePath: string,
  range: ByteRange,
  chunkBytes: number = 4 * 2 ** 20,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await open(absolutePath, 'r');
  try {
    for (let at = 0; at < range.length; ) {
      const chunk = new Uint8Array(Math.min(chunkBytes, range.length - at));
      for (let filled = 0; filled < chunk.length; ) {
        const { bytesRead } = await file.read(chunk, filled, chunk.length - filled, range.offset + at + filled);
        if (bytesRead === 0) throw becameShorter(absolutePath, range);
        filled += bytesRead;
      }
      yield chunk;
      at += chunk.length;
    }
  } finally {
    await file.close();
  }
}

function becameShorter(absolutePath: string, range: ByteRange): Error {
  return new Error(
    `${absolutePath} ends before byte ${range.offset + range.length}; it was longer when it was checked`,
  );
}

import type { FileHandle } from 'node:fs/promises';

/** A file that two streams are written to as they come, without cutting each other's lines. */
export interface LogFile {
  /** For one stream. Resolves when what was handed over is written, so that a slow disk slows the stream down. */
  readonly stream: () => { readonly write: (chunk: Uint8Array) => Promise<void>; readonly end: () => Promise<void> };
  /** What first kept it from being written; everything after that is dropped. */
  readonly error: () => unknown;
}

/** Lines longer than this are written in pieces, between which the other stream's may come. */
const longestLine = 65_536;

/** Writes to `file`, which stays open. Never throws: a log that cannot be written ends no build. */
export function logFile(file: FileHandle): LogFile {
  let error: unknown;
  let queue: Promise<void> = Promise.resolve();
  const append = (bytes: Uint8Array): Promise<void> => {
    queue = queue.then(async () => {
      if (error !== undefined) return;
      try {
        await file.appendFile(bytes);
      } catch (cause) {
        error = cause;
      }
    });
    return queue;
  };
  return {
    error: () => error,
    stream() {
      let waiting: Uint8Array = new Uint8Array();
      return {
        async write(chunk) {
          const all = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
          const end = all.lastIndexOf(lineFeed) + 1;
          const cut = all.length - end > longestLine ? all.length : end;
          waiting = new Uint8Array(all.subarray(cut));
          if (cut > 0) await append(all.subarray(0, cut));
        },
        async end() {
          if (waiting.length > 0) await append(Buffer.concat([waiting, Uint8Array.of(lineFeed)]));
        },
      };
    },
  };
}

const lineFeed = 10;

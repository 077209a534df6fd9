import { type FileHandle, open } from 'node:fs/promises';

/** Runs of bytes in the files that weights come from. Files stay open until {@link WeightFiles.close}. */
export interface WeightFiles {
  /** Rejects with a system error when the file cannot be read, or has become shorter than it was. */
  readonly read: (file: string, offset: number, length: number) => Promise<Uint8Array>;
  readonly close: () => Promise<void>;
}

/** @param pathOf where a file is, by the name that a weight has for it */
export function openWeightFiles(pathOf: (file: string) => string): WeightFiles {
  const handles = new Map<string, Promise<FileHandle>>();
  return {
    read: async (file, offset, length) => {
      const opened = handles.get(file) ?? open(pathOf(file), 'r');
      handles.set(file, opened);
      const handle = await opened;
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await handle.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0) throw shortened(pathOf(file));
        at += bytesRead;
      }
      return bytes;
    },
    close: async () => {
      const opened = [...handles.values()];
      handles.clear();
      for (const handle of await Promise.allSettled(opened)) {
        if (handle.status === 'fulfilled') await handle.value.close();
      }
    },
  };
}

/** Somebody cut the file off after its header was checked: the system's word for that is an input/output error. */
function shortened(path: string): Error {
  return Object.assign(new Error(`${path} became shorter while it was read`), { code: 'EIO', path });
}

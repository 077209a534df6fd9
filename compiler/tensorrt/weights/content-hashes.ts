import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';

/** SHA-256 of files, read in pieces; what was read once need not be read again. */
export interface ContentHashes {
  /** Of a whole file. Rejects with the system's error, or with the signal's reason when it aborts. */
  readonly hash: (path: string, signal?: AbortSignal) => Promise<string>;
  /** Whether every file that was hashed so far still has the same content. */
  readonly unchanged: (signal?: AbortSignal) => Promise<boolean>;
  /** Writes down what was learned; where that fails, it is learned again. */
  readonly save: () => Promise<void>;
}

/**
 * How long ago a file must have changed, for its times to tell the next change apart: in steps of 2 s on the worst file
 * systems, of some milliseconds on those that a build runs on. The first is for what is written down; the second is for
 * the engines of one build, which share weights that were linked a moment ago.
 */
const settledAfterMs = { forGood: 3000, forThisProcess: 100 };

/** Files that are remembered. */
const mostRemembered = 512;

const memoSchema = z.object({
  format: z.literal(1),
  hashes: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
});

interface Stat {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/**
 * Hashes files, and remembers in `memoFile` what they came to. A file is recognised by device, inode, size and both
 * times, by whatever path it is reached. The time of the last change to the inode is among them, since that cannot be
 * set back: a tool that writes into a file and restores the other one is not believed. The price is that a file is
 * read again when it gets another hard link.
 * @param now what the clock says, in milliseconds; only tests have another one
 */
export function contentHashes(memoFile?: string, now: () => number = Date.now): ContentHashes {
  const known = new Map<string, string>();
  const seen = new Map<string, { readonly identity: string; readonly sha256: string }>();
  let loaded: Promise<void> | undefined;
  const learned = new Map<string, string>();
  const load = async () => {
    if (memoFile === undefined) return;
    for (const [identity, sha256] of Object.entries(await readMemo(memoFile))) known.set(identity, sha256);
  };
  const hash = async (path: string, signal?: AbortSignal): Promise<string> => {
    loaded ??= load();
    await loaded;
    const place = resolve(path);
    const handle = await open(place, 'r');
    try {
      const before = await handle.stat({ bigint: true });
      const identity = identityOf(before);
      let sha256 = known.get(identity);
      if (sha256 === undefined) {
        sha256 = await hashHandle(handle, signal);
        const age = ageMs(before, now());
        if (identityOf(await handle.stat({ bigint: true })) === identity && age > settledAfterMs.forThisProcess) {
          known.set(identity, sha256);
          if (age > settledAfterMs.forGood) learned.set(identity, sha256);
        }
      }
      seen.set(place, { identity, sha256 });
      return sha256;
    } finally {
      await handle.close();
    }
  };
  return {
    hash,
    unchanged: async (signal) => {
      for (const [place, { identity, sha256 }] of [...seen]) {
        const now = await stat(place, { bigint: true }).catch(() => undefined);
        if (now === undefined) return false;
        if (identityOf(now) === identity) continue;
        const again = await hash(place, signal).catch(() => undefined);
        signal?.throwIfAborted();
        if (again !== sha256) return false;
      }
      return true;
    },
    save: async () => {
      if (memoFile === undefined || learned.size === 0) return;
      // Others may have learned something meanwhile.
      const all = { ...(await readMemo(memoFile)), ...Object.fromEntries(learned) };
      const hashes = Object.fromEntries(Object.entries(all).slice(-mostRemembered));
      const aside = `${memoFile}.${randomBytes(6).toString('hex')}`;
      try {
        await writeFile(aside, `${JSON.stringify({ format: 1, hashes })}\n`, { flag: 'wx' });
        await rename(aside, memoFile);
        learned.clear();
      } catch {
        await rm(aside, { force: true }).catch(() => {});
      }
    },
  };
}

function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: Stat): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

/** Time since a file, or its inode, changed last. A change in the same tick of that clock would leave the times as they are. */
function ageMs({ mtimeNs, ctimeNs }: Stat, nowMs: number): number {
  const latest = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  return nowMs - Number(latest / 1_000_000n);
}

async function hashHandle(handle: FileHandle, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(2 ** 20);
  for (let position = 0; ; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}

/** What a memo says; nothing where there is none, or where it is damaged. */
async function readMemo(file: string): Promise<Readonly<Record<string, string>>> {
  try {
    const parsed = memoSchema.safeParse(JSON.parse(await readFile(file, 'utf8')));
    return parsed.success ? parsed.data.hashes : {};
  } catch {
    return {};
  }
}

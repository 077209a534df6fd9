import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Result, success } from '../../../files/diagnostics.ts';
import { cacheLayout, isKey } from './cache-layout.ts';
import { readEntries } from './read-entries.ts';
import type { CacheEntry } from './read-entry.ts';

/** What is in a cache. */
export interface CacheListing {
  /** By engine, GPU, version and key. */
  readonly engines: readonly CacheEntry[];
  readonly timingCaches: readonly { readonly file: string; readonly bytes: number }[];
  /** Keys of entries that were set aside. */
  readonly damaged: readonly string[];
  /** Of engines and timing caches. */
  readonly bytes: number;
}

/** Lists a cache. Damaged entries that are still in their places are warnings; a missing folder is refused. */
export async function listCache(dir: string): Promise<Result<CacheListing>> {
  const { damaged, timing } = cacheLayout(dir);
  const read = await readEntries(dir);
  if (!read.ok) return read;
  const orderOf = ({ stamp, parts, key }: CacheEntry) => [stamp.file, parts.gpu, parts.tensorrt, key].join('\0');
  const engines = [...read.value].sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
  const timingCaches = [];
  for (const file of await namesIn(timing)) {
    const found = file.endsWith('.cache') ? await lstat(join(timing, file)).catch(() => undefined) : undefined;
    if (found?.isFile()) timingCaches.push({ file, bytes: found.size });
  }
  const bytes = [...engines.map(({ stamp }) => stamp.size), ...timingCaches.map((cache) => cache.bytes)];
  return success(
    {
      engines,
      timingCaches,
      damaged: (await namesIn(damaged)).filter(isKey),
      bytes: bytes.reduce((sum, size) => sum + size, 0),
    },
    read.diagnostics,
  );
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).then(
    (names) => names.sort(),
    () => [],
  );
}

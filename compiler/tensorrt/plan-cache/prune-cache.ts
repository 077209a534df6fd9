import { randomBytes } from 'node:crypto';
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { cacheLayout, isKey, stagedPrefix, stampName } from './cache-layout.ts';
import { readEntries } from './read-entries.ts';
import type { CacheEntry } from './read-entry.ts';

export interface Pruned {
  readonly removed: readonly CacheEntry[];
  /** Of the engines that were removed. A file that a package has as well takes its room until that is gone, too. */
  readonly removedBytes: number;
  readonly keptBytes: number;
}

/** How old what is being put into the cache has to be, to have been left behind by a process that ended. */
const abandonedAfterMs = 24 * 3600 * 1000;

/**
 * Removes engines, those first that were not used for the longest time, until the others take at most `keepBytes`; with
 * `everything` also timing caches and what is remembered. Always: what is damaged, and what was left half-written a day
 * ago or earlier. Files that no cache has are left alone.
 */
export async function pruneCache(
  dir: string,
  asked: { readonly keepBytes: number } | { readonly everything: true },
): Promise<Result<Pruned>> {
  const { plans, damaged, timing, hashes } = cacheLayout(dir);
  const read = await readEntries(dir);
  if (!read.ok) return read;
  const keepBytes = 'everything' in asked ? 0 : asked.keepBytes;
  try {
    const used = await Promise.all(
      read.value.map(async (entry) => ({ entry, at: await changedAt(join(plans, entry.key, stampName)) })),
    );
    // Newest first; a file system may give two the same time.
    used.sort((a, b) => b.at - a.at || (a.entry.key < b.entry.key ? -1 : 1));
    let keptBytes = 0;
    const removed: CacheEntry[] = [];
    for (const { entry } of used) {
      // Behind the first that does not fit, nothing is kept: an older one is not worth more for being smaller.
      if (removed.length === 0 && keptBytes + entry.stamp.size <= keepBytes && keepBytes > 0) {
        keptBytes += entry.stamp.size;
        continue;
      }
      await removeEntry(plans, entry.key);
      removed.push(entry);
    }
    const kept = new Set(read.value.map(({ key }) => key));
    for (const name of await namesIn(plans)) {
      const path = join(plans, name);
      const abandoned = name.startsWith(stagedPrefix) && Date.now() - (await changedAt(path)) > abandonedAfterMs;
      if (
        abandoned ||
        (isKey(name) && !kept.has(name) && read.diagnostics.some(({ location }) => location?.file === path))
      )
        await rm(path, { recursive: true, force: true });
    }
    for (const name of (await namesIn(damaged)).filter(isKey)) {
      await rm(join(damaged, name), { recursive: true, force: true });
    }
    if ('everything' in asked) {
      for (const name of (await namesIn(timing)).filter((file) => /\.cache(\.[0-9a-f]+)?$/.test(file))) {
        await rm(join(timing, name), { force: true });
      }
      await rm(hashes, { force: true });
    }
    const removedBytes = removed.reduce((sum, { stamp }) => sum + stamp.size, 0);
    return success({ removed, removedBytes, keptBytes });
  } catch (error) {
    return failure(fileDiagnostic(error, { file: dir }, 'write'));
  }
}

/** Takes the name away first: nobody finds half an entry. */
async function removeEntry(plans: string, key: string): Promise<void> {
  const aside = join(plans, `${stagedPrefix}${randomBytes(6).toString('hex')}`);
  try {
    await rename(join(plans, key), aside);
  } catch (error) {
    // Somebody else was faster.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

async function changedAt(path: string): Promise<number> {
  return lstat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

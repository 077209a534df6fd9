import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { cacheLayout, isKey } from './cache-layout.ts';
import { type CacheEntry, readEntry } from './read-entry.ts';

/**
 * Every engine that is kept in a folder, by key. Damaged ones are warnings. Refused: a folder that is not there, or
 * cannot be read; an empty one is an empty cache.
 */
export async function readEntries(dir: string): Promise<Result<readonly CacheEntry[]>> {
  const { plans } = cacheLayout(dir);
  const names = await namesIn(dir);
  if (!names.ok) return names;
  const keys = names.value.includes('plans') ? await namesIn(plans) : success([]);
  if (!keys.ok) return keys;
  const entries: CacheEntry[] = [];
  const diagnostics: Diagnostic[] = [];
  for (const key of keys.value.filter(isKey)) {
    const read = await readEntry(join(plans, key), key);
    if (read?.ok) entries.push(read.value);
    else if (read) diagnostics.push(...read.diagnostics);
  }
  return success(entries, diagnostics);
}

/** What is in a folder, sorted. */
async function namesIn(folder: string): Promise<Result<readonly string[]>> {
  try {
    return success((await readdir(folder)).sort());
  } catch (error) {
    const location = { file: folder };
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') return failure(fileDiagnostic(error, location, 'read'));
    const message = `There is no folder "${folder}".`;
    const hint = 'A cache comes into being with "rtc compile --target tensorrt --cache-dir FOLDER".';
    return failure({ severity: 'error', code: 'missing-file', location, message, hint });
  }
}

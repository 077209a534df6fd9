import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Everything below a folder, hidden things too: by relative path what it is, for files the hash of their bytes. What
 * may not be read is told as such.
 */
export function filesBelow(root: string): Readonly<Record<string, string>> {
  return Object.fromEntries(entriesOf(root, ''));
}

function entriesOf(root: string, folder: string): readonly (readonly [path: string, what: string])[] {
  const names = readable(() => readdirSync(join(root, folder)).sort());
  if (names === undefined) return [[join(folder, '*'), 'unreadable']];
  return names.flatMap((name) => {
    const path = join(folder, name);
    const found = lstatSync(join(root, path));
    const inside = found.isDirectory() ? entriesOf(root, path) : [];
    return [[path, describe(join(root, path))] as const, ...inside];
  });
}

function describe(path: string): string {
  const found = lstatSync(path);
  if (found.isSymbolicLink()) return `link to ${readlinkSync(path)}`;
  if (found.isDirectory()) return 'folder';
  if (!found.isFile()) return 'special';
  const bytes = readable(() => readFileSync(path));
  return bytes ? createHash('sha256').update(bytes).digest('hex') : `${found.size} bytes, unreadable`;
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return undefined;
    throw error;
  }
}

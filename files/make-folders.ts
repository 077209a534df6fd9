import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder and those above it that are missing; a folder that is there is fine. Throws the system's error.
 * Not `mkdir` with `recursive`: below /proc, where nobody can make folders, Node tries that for ever.
 * @returns the first folder that had to be made; undefined when all were there
 */
export function makeFolders(path: string): string | undefined {
  const folder = resolve(path);
  const above = dirname(folder);
  try {
    mkdirSync(folder);
    return folder;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return undefined;
    // Where the folder above is there, what is missing is the right to make one.
    if (code !== 'ENOENT' || above === folder || isThere(above)) throw error;
  }
  const first = makeFolders(above);
  return makeFolders(folder) === undefined ? first : (first ?? folder);
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

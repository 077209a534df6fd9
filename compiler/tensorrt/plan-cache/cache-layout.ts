import { join } from 'node:path';

/** Where things are in the folder of a cache. Only regular files, and nothing that says where the folder is. */
export interface CacheLayout {
  /** `<key>/{plan, parts.json, stamp.json}` for every engine; what is being put there starts with `.staged-`. */
  readonly plans: string;
  /** Entries that were found altered. */
  readonly damaged: string;
  /** Timing caches, one for each GPU and version of TensorRT. */
  readonly timing: string;
  /** What files came to when they were hashed. */
  readonly hashes: string;
}

export const planName = 'plan';
export const partsName = 'parts.json';
export const stampName = 'stamp.json';

/** What the names of entries start with until they are whole. */
export const stagedPrefix = '.staged-';

export function cacheLayout(dir: string): CacheLayout {
  return {
    plans: join(dir, 'plans'),
    damaged: join(dir, 'damaged'),
    timing: join(dir, 'timing'),
    hashes: join(dir, 'hashes.json'),
  };
}

/** Whether a name in `plans` is a key. */
export function isKey(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}

import { readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { formatBytes } from '../inspect/format-bytes.ts';
import { calibrationBytes } from './calibrate/calibration-bytes.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ConvertParts } from './convert-parts.ts';
import { defaultShardBytes } from './place-checkpoint.ts';
import type { Conversion } from './plan-conversion.ts';
import { workPath } from './work-folder.ts';
import { checkpointBytes } from './write-checkpoint.ts';

/** Whether there is room for the checkpoint, and for finished matrices that wait for it; undefined: there is. */
export async function checkSpace(
  { stored, ranks, model }: Conversion,
  { out, shardBytes = defaultShardBytes, lora }: ConvertOptions,
  { freeBytes }: Pick<ConvertParts, 'freeBytes'>,
): Promise<Diagnostic | undefined> {
  const factors = ranks.ranked.reduce((sum, { matrix: { rows, cols, shared }, rank }) => {
    return sum + rank * (rows + cols) * (shared.dtype === 'f32' ? 4 : 2);
  }, 0);
  const companions = model.companions.map((path) => join(model.folder, path));
  // Each finished matrix is a file of its own with a header, and takes whole blocks of the disk.
  const roots = lora?.calibration === undefined ? 0 : calibrationBytes(model.spec);
  const waiting = factors + ranks.ranked.length * 8192 + roots;
  const kept = Math.min(waiting, await sizeOf(await filesIn(workPath(out))));
  const needed = checkpointBytes(stored, shardBytes) + factors + waiting - kept + (await sizeOf(companions)) + 2 ** 20;
  const free = await freeBytes(out);
  if (free === undefined || free >= needed) return undefined;
  return {
    severity: 'error',
    code: 'disk-full',
    location: { file: out },
    message: `"${out}" takes up to ${formatBytes(needed)} while it is made, and ${formatBytes(free)} are free there.`,
    hint: 'Free some space, or choose another place with --out.',
  };
}

/** Bytes that may still be written at a place, which need not exist; undefined where nobody can say. */
export async function freeBytes(path: string): Promise<number | undefined> {
  for (let place = resolve(path); ; place = dirname(place)) {
    try {
      const { bavail, bsize } = await statfs(place);
      return bavail * bsize;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || place === dirname(place)) return undefined;
    }
  }
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.map((name) => join(folder, name));
}

async function sizeOf(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Diagnostic } from '../../../files/diagnostics.ts';
import { failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { buildScriptName } from '../../../targets/tensorrt/build-script.ts';

/** The lock that build.sh takes, too: a folder, whose file `owner` says who builds. */
export const buildingLockName = `${buildScriptName}.lock`;

/** Gives a lock back. */
export type Unlock = () => Promise<void>;

/**
 * Takes the right to build in a package folder. A lock whose process on this machine is gone is taken over; what is held
 * by a process that runs, or by one of another machine, is refused with the code `already-building`.
 * @param folder as the user names it
 */
export async function lockForBuilding(folder: string): Promise<Result<Unlock>> {
  const lock = join(folder, buildingLockName);
  try {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        await mkdir(lock);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        const held = await whoBuilds(folder);
        if (held) return failure(held);
        // Renamed first: of two that find it stale, one does this.
        const aside = `${lock}.${randomBytes(6).toString('hex')}`;
        await rename(lock, aside).catch(() => {});
        await rm(aside, { recursive: true, force: true });
        continue;
      }
      await writeFile(join(lock, 'owner'), `process ${process.pid} on ${hostname()}\n`);
      return success(() => rm(lock, { recursive: true, force: true }).catch(() => {}));
    }
    return failure(alreadyBuilding(folder, 'another process'));
  } catch (error) {
    return failure(fileDiagnostic(error, { file: folder }, 'write'));
  }
}

/** What to tell where somebody builds in a folder; undefined: nobody does, or who did is gone. */
export async function whoBuilds(folder: string): Promise<Diagnostic | undefined> {
  const lock = join(folder, buildingLockName);
  let owner: string;
  try {
    owner = (await readFile(join(lock, 'owner'), 'utf8')).trim();
  } catch (error) {
    // A lock that was just taken may not say yet by whom.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') return alreadyBuilding(folder, 'somebody');
    const taken = await readFile(lock).catch((problem: NodeJS.ErrnoException) => problem.code);
    return taken === 'EISDIR' ? alreadyBuilding(folder, 'somebody') : undefined;
  }
  const [, pid, host] = /^process (\d+) on (.*)$/.exec(owner) ?? [];
  if (pid !== undefined && host === hostname() && !runs(Number(pid))) return undefined;
  return alreadyBuilding(folder, owner);
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function alreadyBuilding(folder: string, owner: string): Diagnostic {
  return {
    severity: 'error',
    code: 'already-building',
    location: { file: folder },
    message: `Another build of engines runs in "${folder}": ${owner}.`,
    hint: `Wait for it, or choose another folder. If it is gone, remove "${join(folder, buildingLockName)}".`,
  };
}

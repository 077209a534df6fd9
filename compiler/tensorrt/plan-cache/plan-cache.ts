import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { makeFolders } from '../../../files/make-folders.ts';
import { hashFile } from '../../../files/package.ts';
import type { PlanStamp } from '../../../files/plan-stamp.ts';
import { linkOrCopy } from '../../package/link-or-copy.ts';
import { flush } from '../../package/write-generated.ts';
import { type ContentHashes, contentHashes } from '../weights/content-hashes.ts';
import { cacheLayout, partsName, planName, stagedPrefix, stampName } from './cache-layout.ts';
import { type PlanParts, planKey } from './plan-parts.ts';
import { damagedEntry, readEntry, stampProblem, whileItStays } from './read-entry.ts';

/** Engines of earlier builds, by what they were built from. Never a reason for a build to fail. */
export interface PlanCache {
  /** The folder, as the user names it. */
  readonly dir: string;
  /** Hashes files for `planParts`, and remembers in the cache what they came to. */
  readonly hashes: ContentHashes;
  /**
   * Puts the engine of these parts at `to`, where nothing may be yet: a hard link where that goes, else a copy. Its
   * bytes were checked; an entry that is damaged is set aside, and then there is none. Undefined: there is none.
   * Diagnostics are warnings. Rejects with the signal's reason when it aborts.
   */
  readonly take: (parts: PlanParts, to: string, signal?: AbortSignal) => Promise<Taken>;
  /**
   * Keeps an engine that was built from these parts. Nothing happens where it is kept already, or where a file that the
   * parts tell of has changed since it was hashed. Returns warnings. Rejects with the signal's reason when it aborts.
   */
  readonly store: (
    parts: PlanParts,
    built: { readonly plan: string; readonly stamp: PlanStamp },
    signal?: AbortSignal,
  ) => Promise<readonly Diagnostic[]>;
}

export interface Taken {
  readonly stamp: PlanStamp | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * The cache in a folder, which need not exist yet. Any number of processes may use it at the same time: an entry is
 * written aside and takes its name when it is whole, and the second of two that write the same one leaves the first.
 */
export function planCache(dir: string): PlanCache {
  const { plans, damaged, hashes: memo } = cacheLayout(dir);
  const hashes = contentHashes(memo);
  return {
    dir,
    hashes,
    take: async (parts, to, signal) => {
      const key = planKey(parts);
      const folder = join(plans, key);
      const none: Taken = { stamp: undefined, diagnostics: [] };
      const looked = await whileItStays<Result<Taken>>(folder, async () => {
        const read = await readEntry(folder, key);
        if (read === undefined) return { value: success(none), sure: true };
        if (!read.ok) return { value: read, sure: true };
        const { stamp } = read.value;
        const taken = await takeFile(join(folder, planName), to, signal);
        if (!taken.ok) {
          const diagnostics = taken.diagnostics.map((problem) => unusable(dir, problem));
          return { value: success({ stamp: undefined, diagnostics }), sure: false };
        }
        if (taken.value === stamp.sha256) return { value: success({ stamp, diagnostics: [] }), sure: true };
        await rm(to, { force: true });
        return { value: failure(damagedEntry(folder, 'its bytes are not those that were kept')), sure: false };
      });
      if (looked === undefined) return none;
      if (!looked.ok) {
        const hint = await moveAway(folder, damaged, key);
        return { stamp: undefined, diagnostics: looked.diagnostics.map((problem) => ({ ...problem, hint })) };
      }
      if (looked.value.stamp !== undefined) {
        // What was used last goes last when the cache is pruned.
        const now = new Date();
        await utimes(join(folder, stampName), now, now).catch(() => {});
      }
      return looked.value;
    },
    store: async (parts, { plan, stamp }, signal) => {
      const mismatch = stampProblem(stamp, parts);
      if (mismatch !== undefined) {
        return [
          notKept(
            stamp,
            `its stamp says ${mismatch}`,
            'Of several GPUs, leave only the one that builds visible. Engines for a slice of a GPU (MIG), which trtexec names otherwise than nvidia-smi, are not kept.',
          ),
        ];
      }
      if (!(await hashes.unchanged(signal))) {
        return [notKept(stamp, 'a file that it is built from changed during the build')];
      }
      const key = planKey(parts);
      const staged = join(plans, `${stagedPrefix}${randomBytes(6).toString('hex')}`);
      try {
        makeFolders(plans);
        await hashes.save();
        if (await isThere(join(plans, key))) return [];
        await mkdir(staged);
        const to = join(staged, planName);
        const linked = await linkOrCopy({ from: plan, to, shown: to, signal });
        if (!linked.ok) return linked.diagnostics.map((problem) => unusable(dir, problem));
        for (const [name, value] of [[partsName, parts] as const, [stampName, stamp] as const]) {
          await writeFile(join(staged, name), `${JSON.stringify(value, null, 2)}\n`, { flag: 'wx', flush: true });
        }
        await flush(to);
        await flush(staged);
        await takeName(staged, join(plans, key));
        await flush(plans);
        return [];
      } catch (error) {
        signal?.throwIfAborted();
        return [unusable(dir, fileDiagnostic(error, { file: dir }, 'write'))];
      } finally {
        await rm(staged, { recursive: true, force: true }).catch(() => {});
      }
    },
  };
}

/** What to tell where engines cannot be looked up, since it is not known for which GPU they would be. */
export function unknownGpu(dir: string): Diagnostic {
  return {
    severity: 'warning',
    code: 'cache-not-used',
    location: { file: dir },
    message: 'The cache of engines was not used: without nvidia-smi it is not known which GPU they would be for.',
    hint: 'Put nvidia-smi on the PATH; it comes with the driver.',
  };
}

/** Links or copies a file; the result is the SHA-256 of what is there now. */
async function takeFile(from: string, to: string, signal: AbortSignal | undefined): Promise<Result<string>> {
  const linked = await linkOrCopy({ from, to, shown: to, signal });
  if (!linked.ok) return linked;
  try {
    return success(await hashFile(to, undefined, signal));
  } catch (error) {
    await rm(to, { force: true });
    signal?.throwIfAborted();
    return failure(fileDiagnostic(error, { file: to }, 'read'));
  }
}

/** Gives an entry its name; where another process was faster, its entry stays. */
async function takeName(staged: string, place: string): Promise<void> {
  try {
    await rename(staged, place);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

/** Moves an entry to where nobody looks for one. Returns what to tell of that. */
async function moveAway(folder: string, damaged: string, key: string): Promise<string> {
  const place = join(damaged, key);
  try {
    makeFolders(damaged);
    // What was set aside before goes: one of them is enough to look at.
    await rm(place, { recursive: true, force: true });
    await rename(folder, place);
    return `It was set aside as "${place}", and is built again.`;
  } catch {
    return 'It is built again, and stays where it is.';
  }
}

function unusable(dir: string, problem: Diagnostic): Diagnostic {
  return { ...problem, severity: 'warning', code: 'cache-not-used', location: { file: dir } };
}

function notKept({ file }: PlanStamp, why: string, hint?: string): Diagnostic {
  return {
    severity: 'warning',
    code: 'not-cached',
    location: { file },
    message: `The engine was not put into the cache: ${why}.`,
    ...(hint === undefined ? {} : { hint }),
  };
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

import { randomBytes } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Diagnostic } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { makeFolders } from '../../../files/make-folders.ts';
import { hashFile } from '../../../files/package.ts';
import { copy } from '../../package/link-or-copy.ts';
import { cacheLayout } from './cache-layout.ts';
import type { Machine } from './collect-parts.ts';

/** For whom a timing cache holds: measurements of one GPU by one version of TensorRT. */
export type TimedOn = Pick<Machine, 'gpu' | 'computeCapability'> & {
  /** With its patch: `10.16.0`. */
  readonly tensorrt: string;
};

/** `NVIDIA-H100-80GB-HBM3-sm90-trt10.16.0.cache` */
export function timingCacheName({ gpu, computeCapability, tensorrt }: TimedOn): string {
  const plain = (text: string) => text.replaceAll(/[^A-Za-z0-9._]+/g, '-');
  return `${plain(gpu)}-sm${plain(computeCapability.replace('.', ''))}-trt${plain(tensorrt)}.cache`;
}

/**
 * Puts what was measured in earlier builds at `to`, replacing what is there: a copy, since trtexec writes into the file.
 * Rejects with the signal's reason when it aborts.
 * @returns SHA-256 of the copy; undefined where nothing was measured yet, or where that cannot be had
 */
export async function offerTimingCache(
  dir: string,
  timedOn: TimedOn,
  to: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const from = join(cacheLayout(dir).timing, timingCacheName(timedOn));
  const aside = `${to}.${randomBytes(6).toString('hex')}`;
  try {
    const copied = await copy({ from, to: aside, shown: to, signal });
    if (!copied.ok) return undefined;
    await rename(aside, to);
    return copied.value.sha256;
  } finally {
    await rm(aside, { force: true });
  }
}

/**
 * Takes back what trtexec made of the timing cache in a build that succeeded; it has merged old and new itself. Where
 * another build was faster, the larger of the two stays: what is missing from it will be measured again.
 * Returns warnings. Rejects with the signal's reason when it aborts.
 * @param offered what {@link offerTimingCache} returned before the build
 */
export async function keepTimingCache(
  dir: string,
  timedOn: TimedOn,
  from: string,
  offered: string | undefined,
  signal?: AbortSignal,
): Promise<readonly Diagnostic[]> {
  const place = join(cacheLayout(dir).timing, timingCacheName(timedOn));
  const aside = `${place}.${randomBytes(6).toString('hex')}`;
  try {
    const made = await stat(from).catch(() => undefined);
    if (made === undefined || !made.isFile() || made.size === 0) return [];
    const there = await stat(place).catch(() => undefined);
    const current = there === undefined ? undefined : await hashFile(place, undefined, signal);
    if (there !== undefined && current !== offered && there.size >= made.size) return [];
    makeFolders(dirname(place));
    const copied = await copy({ from, to: aside, shown: place, signal });
    if (!copied.ok) return copied.diagnostics.map((problem) => notKept(dir, problem));
    if (copied.value.sha256 !== current) await rename(aside, place);
    return [];
  } catch (error) {
    signal?.throwIfAborted();
    return [notKept(dir, fileDiagnostic(error, { file: dir }, 'write'))];
  } finally {
    await rm(aside, { force: true }).catch(() => {});
  }
}

function notKept(dir: string, problem: Diagnostic): Diagnostic {
  return { ...problem, severity: 'warning', code: 'not-cached', location: { file: dir } };
}

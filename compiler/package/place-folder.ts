import { randomBytes } from 'node:crypto';
import { lstat, mkdir, realpath, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';
import { makeFolders } from '../../files/make-folders.ts';
import { manifestName } from '../../files/manifest.ts';
import { isPackage } from '../../files/package.ts';
import { whoBuilds } from '../tensorrt/build/building-lock.ts';
import { flush } from './write-generated.ts';

export interface PlaceFolderOptions {
  /** The folder to make, as the user names it. */
  readonly out: string;
  /** Absolute paths of what the folder is made from: it may hold none of them. */
  readonly inputs: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a folder whole or not at all. `build` fills an empty folder beside the place; it takes the place only when it
 * is done. What stands there is replaced if it is a package, and refused if it is anything else. An error, a failure
 * that `build` returns, or the signal leave everything as it was.
 * @returns what `build` returned, or `interrupted` when the signal was aborted
 */
export async function placeFolder<T>(
  { out, inputs, signal }: PlaceFolderOptions,
  build: (folder: string) => Promise<Result<T>>,
): Promise<Result<T>> {
  const refused = await checkPlace(out, inputs);
  if (refused) return failure(refused);
  // A symbolic link stays, and what it leads to is replaced.
  const place = await realpath(resolve(out)).catch(() => resolve(out));
  const parent = dirname(place);
  const staged = join(parent, `.rtc-${randomBytes(6).toString('hex')}`);
  let made: string | undefined;
  let built: Result<T> | undefined;
  try {
    signal?.throwIfAborted();
    made = makeFolders(parent);
    await mkdir(staged);
    built = await build(staged);
    if (!built.ok) return built;
    signal?.throwIfAborted();
    // Building takes a while: what others have put there meanwhile is theirs.
    const taken = await checkPlace(out, inputs);
    if (taken) return failure(taken);
    const warnings = await takePlace(staged, place);
    return success(built.value, [...built.diagnostics, ...warnings]);
  } catch (error) {
    if (signal?.aborted) return failure(interrupted(out));
    return failure(fileDiagnostic(error, { file: out }, 'write'));
  } finally {
    await rm(staged, { recursive: true, force: true });
    if (made !== undefined && !(await exists(place))) await removeEmpty(parent, made);
  }
}

/** Why nothing may be written at `out`; undefined when something may. */
export async function checkPlace(out: string, inputs: readonly string[]): Promise<Diagnostic | undefined> {
  // An empty path is no place to most of the file system, and the current folder to `resolve`.
  if (out === '') {
    const message = 'The folder to write has an empty name.';
    return { severity: 'error', code: 'bad-path', message, hint: 'Name one with --out.' };
  }
  const location = { file: out };
  // Looked at where it will be written: `missing/../model` is the folder `model`, though no folder `missing` is there.
  const place = resolve(out);
  let found: Awaited<ReturnType<typeof lstat>>;
  try {
    found = await lstat(place);
  } catch (error) {
    const problem = fileDiagnostic(error, location, 'write');
    // ENOTDIR counts: a file cannot become a folder.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : problem;
  }
  const real = await realpath(place).catch(() => undefined);
  const held = real === undefined ? undefined : await firstInside(real, inputs);
  if (held !== undefined) {
    return {
      severity: 'error',
      code: 'output-holds-input',
      location,
      message: `"${out}" holds "${held}", which is being compiled; replacing the folder would delete it.`,
      hint: 'Choose another folder with --out.',
    };
  }
  // A build would go on in a folder that is there no more.
  if (real !== undefined && (await isPackage(real))) return whoBuilds(out);
  const what = real === undefined ? 'a symbolic link that leads nowhere' : found.isFile() ? 'a file' : undefined;
  return {
    severity: 'error',
    code: 'output-exists',
    location,
    message:
      what === undefined
        ? `"${out}" exists and is not an rtc package: there is no valid ${manifestName} in it.`
        : `"${out}" exists and is ${what}.`,
    hint: 'Only packages are replaced. Choose another folder with --out, or remove this one.',
  };
}

/** The diagnostic of a call whose signal was aborted. */
export function interrupted(out: string): Diagnostic {
  return {
    severity: 'error',
    code: 'interrupted',
    location: { file: out },
    message: 'Interrupted; nothing was written.',
  };
}

/** Puts `staged` at `place`. What was there comes back when that fails, and goes only when it is done. */
async function takePlace(staged: string, place: string): Promise<readonly Diagnostic[]> {
  await flush(staged);
  if (!(await exists(place))) {
    await rename(staged, place);
    await flush(dirname(place));
    return [];
  }
  const aside = `${staged}.old`;
  await rename(place, aside);
  try {
    await rename(staged, place);
  } catch (error) {
    await rename(aside, place);
    throw error;
  }
  await flush(dirname(place));
  try {
    await rm(aside, { recursive: true, force: true });
    return [];
  } catch (error) {
    const problem = fileDiagnostic(error, { file: aside }, 'write');
    const message = `The package is written, but the one it replaced could not be removed: ${problem.message}`;
    return [{ ...problem, severity: 'warning', code: 'leftover-folder', message, hint: `Remove "${aside}".` }];
  }
}

/** The first of `paths` that lies in `folder` or is it, itself or what it links to. */
async function firstInside(folder: string, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const real = await realpath(path).catch(() => path);
    const parent = await realpath(dirname(path)).catch(() => dirname(path));
    if (isInside(folder, real) || isInside(folder, join(parent, basename(path)))) return path;
  }
  return undefined;
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || !(way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way));
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** Removes folders that were made on the way, from `deepest` up to `highest`, as long as they are empty. */
async function removeEmpty(deepest: string, highest: string): Promise<void> {
  for (let folder = deepest; isInside(highest, folder); folder = dirname(folder)) {
    try {
      await rmdir(folder);
    } catch {
      return;
    }
  }
}

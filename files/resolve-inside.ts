import { realpath } from 'node:fs/promises';
import { join, posix, relative, resolve, sep } from 'node:path';
import { type Diagnostic, failure, type Location, type Result, success } from './diagnostics.ts';
import { fileDiagnostic } from './file-diagnostic.ts';

/** A folder whose files name each other by relative paths. */
export interface NamedFolder {
  readonly absolutePath: string;
  /** As the user would name it. */
  readonly shown: string;
  /** Whether symbolic links may lead out of it: a Hugging Face cache is made of such links. */
  readonly linksMayLeave: boolean;
}

export interface NamedFile {
  /** Relative to the folder, normalised, with forward slashes. */
  readonly path: string;
  readonly absolutePath: string;
  /** As the user would name it. */
  readonly shown: string;
}

/**
 * The file that a relative path in a file of `folder` names, if it exists and stays inside: no absolute path, no `..`,
 * no NUL, no backslash, and (unless the folder allows it) no symbolic link that leads out.
 * @param from the folder of the file that says so, relative to `folder`; paths are relative to it and may not leave it
 * @param where the place that says so
 */
export async function resolveInside(
  folder: NamedFolder,
  from: string,
  path: string,
  where: Location,
): Promise<Result<NamedFile>> {
  const objection = objectionTo(path);
  if (objection !== undefined) return failure({ severity: 'error', location: where, ...objection });
  const inside = posix.normalize(posix.join(from, path));
  const file: NamedFile = {
    path: inside,
    absolutePath: resolve(folder.absolutePath, inside),
    shown: join(folder.shown, inside),
  };
  try {
    const real = await realpath(file.absolutePath);
    if (!folder.linksMayLeave && !isInside(await realpath(join(folder.absolutePath, from)), real)) {
      const message = `"${path}" is, or passes through, a symbolic link that leads out of its folder.`;
      const hint = 'Put the file itself, or a hard link to it, into the folder.';
      return failure({ severity: 'error', code: 'path-leaves-folder', location: where, message, hint });
    }
  } catch (error) {
    const problem = fileDiagnostic(error, { file: file.shown }, 'read');
    return failure({ ...problem, location: where });
  }
  return success(file);
}

function objectionTo(path: string): Pick<Diagnostic, 'code' | 'message'> | undefined {
  const said = JSON.stringify(path);
  if (path.includes('\0')) return { code: 'bad-path', message: `The path ${said} has a NUL character in it.` };
  if (path.includes('\\')) {
    return { code: 'bad-path', message: `The path ${said} has a backslash in it; forward slashes were expected.` };
  }
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) {
    return {
      code: 'path-leaves-folder',
      message: `The path ${said} is absolute; one relative to the file was expected.`,
    };
  }
  if (path.split('/').includes('..')) {
    return { code: 'path-leaves-folder', message: `The path ${said} leads out of its folder; ".." is not allowed.` };
  }
  return undefined;
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && resolve(folder, way) === path;
}

import type { Diagnostic, Location } from './diagnostics.ts';

/**
 * What to tell the user when the operating system refuses a file: `missing-file`, `unreadable-file`, `read-only`,
 * `disk-full`, and so on. Anything that is not a system error is a bug of ours and is thrown again.
 */
export function fileDiagnostic(error: unknown, location: Location, doing: 'read' | 'write'): Diagnostic {
  const code = systemErrorCode(error);
  if (code === undefined) throw error;
  const file = `"${location.file}"`;
  const say = (name: string, message: string, hint?: string): Diagnostic => ({
    severity: 'error',
    code: name,
    location,
    message,
    ...(hint === undefined ? {} : { hint }),
  });
  switch (code) {
    case 'ENOENT':
      return doing === 'read'
        ? say('missing-file', `There is no file ${file}.`)
        : say('bad-path', `${file} cannot be written: the folder that it is to be in does not exist.`);
    case 'ENOTDIR':
      return doing === 'read'
        ? say('missing-file', `There is no file ${file}: a part of its path is not a folder.`)
        : say('bad-path', `${file} cannot be written: a part of its path is not a folder.`);
    case 'ELOOP':
      return say('missing-file', `${file} is a symbolic link that leads to itself.`);
    case 'EEXIST':
      // A folder is made where a file is: everything else is written over or beside what is there.
      return say(
        'not-a-folder',
        `${file} is a file; a folder was expected.`,
        'Name a folder, or a place with nothing at it.',
      );
    case 'EISDIR':
      return say('not-a-file', `${file} is a folder; a file was expected.`);
    case 'EACCES':
    case 'EPERM':
      return doing === 'read'
        ? say(
            'unreadable-file',
            `${file} may not be read: permission denied.`,
            'Check the permissions of the file and its folders.',
          )
        : say(
            'unwritable-file',
            `${file} may not be written: permission denied.`,
            'Check the permissions of the folder.',
          );
    case 'EROFS':
      return say('unwritable-file', `${file} is on a read-only file system.`, 'Choose another place to write to.');
    case 'ENOSPC':
    case 'EDQUOT':
      return say('disk-full', `There is no room left to write ${file}.`, 'Free some space, or choose another place.');
    case 'ENAMETOOLONG':
      return say('bad-path', `The path ${file} is longer than the file system allows.`);
    default:
      return say(
        doing === 'read' ? 'unreadable-file' : 'unwritable-file',
        `${file} cannot be ${doing === 'read' ? 'read' : 'written'}: ${code}.`,
      );
  }
}

function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

import { expect, test } from 'vitest';
import { fileDiagnostic } from '../../files/file-diagnostic.ts';

const location = { file: 'x.bin' };
const systemError = (code: string) => Object.assign(new Error('failed'), { code });

test.each([
  ['ENOENT', 'read', 'missing-file'],
  ['EISDIR', 'read', 'not-a-file'],
  ['EACCES', 'read', 'unreadable-file'],
  ['EACCES', 'write', 'unwritable-file'],
  ['EROFS', 'write', 'unwritable-file'],
  ['ENOSPC', 'write', 'disk-full'],
  ['EDQUOT', 'write', 'disk-full'],
  ['ENAMETOOLONG', 'read', 'bad-path'],
  ['EIO', 'read', 'unreadable-file'],
  ['EIO', 'write', 'unwritable-file'],
] as const)('%s while one %ss is %s', (error, doing, code) => {
  expect(fileDiagnostic(systemError(error), location, doing)).toMatchObject({ severity: 'error', code, location });
  expect(fileDiagnostic(systemError(error), location, doing).message).toMatch(/"x\.bin".*\.$/);
});

test('what no operating system says is a bug of ours and goes on', () => {
  expect(() => fileDiagnostic(new TypeError('ours'), location, 'read')).toThrow('ours');
  expect(() => fileDiagnostic(systemError('ERR_INVALID_ARG_TYPE'), location, 'read')).toThrow('failed');
});

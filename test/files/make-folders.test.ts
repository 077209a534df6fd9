import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeFolders } from '../../files/make-folders.ts';

const scratch = mkdtempSync(join(tmpdir(), 'rtc-folders-'));
afterAll(() => rmSync(scratch, { recursive: true }));

test('makes what is missing and says where it began', () => {
  expect(makeFolders(join(scratch, 'a', 'b', 'c'))).toBe(join(scratch, 'a'));
  expect(existsSync(join(scratch, 'a', 'b', 'c'))).toBe(true);
  expect(makeFolders(join(scratch, 'a', 'b', 'd'))).toBe(join(scratch, 'a', 'b', 'd'));
  expect(makeFolders(join(scratch, 'a', 'b', 'd'))).toBeUndefined();
});

test('a file in the way, or a place where nothing can be made, is an error at once', () => {
  writeFileSync(join(scratch, 'file'), '');
  expect(() => makeFolders(join(scratch, 'file'))).toThrow(/EEXIST/);
  expect(() => makeFolders(join(scratch, 'file', 'below'))).toThrow(/ENOTDIR/);
});

test.runIf(process.platform === 'linux')('below /proc it gives up', () => {
  expect(() => makeFolders('/proc/nobody/can')).toThrow(/ENOENT/);
});

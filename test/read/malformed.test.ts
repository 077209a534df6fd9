import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readModel } from '../../compiler/read/read-model.ts';
import { malformed } from '../support/malformed.ts';

let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-malformed-'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

test('the list is as long as it should be, and no title stands twice', () => {
  expect(malformed.length).toBeGreaterThanOrEqual(60);
  expect(new Set(malformed.map(({ title }) => title)).size).toBe(malformed.length);
});

describe('refused with a sentence', () => {
  const isRoot = process.getuid?.() === 0;
  for (const [i, { title, make, code, at, in: file, says, permissions }] of malformed.entries()) {
    test.skipIf(permissions === true && isRoot)(title, async () => {
      const folder = join(root, String(i), 'model');
      const path = make(folder);
      const result = await readModel(path);
      if (permissions === true) chmodSync(folder, 0o755);
      expect(result.ok).toBe(false);
      const told = JSON.stringify(result.diagnostics, undefined, 1);
      const found = result.diagnostics.find((d) => d.code === code && says.every((s) => d.message.includes(s)));
      expect(found, told).toBeDefined();
      expect(found?.severity).toBe('error');
      if (at !== undefined) expect(found?.location?.path).toBe(at);
      if (file !== undefined) expect(found?.location?.file).toBe(join(folder, file));
      // Whatever names a place inside a JSON file has its line.
      if (found?.location?.file.endsWith('.json') && found.location.path !== undefined) {
        expect(found.location.line, told).toBeGreaterThanOrEqual(1);
        expect(found.location.column, told).toBeGreaterThanOrEqual(1);
      }
      for (const { message, location } of result.diagnostics) {
        expect(message, told).toMatch(/[.?]$/);
        expect(message).not.toMatch(/undefined|\[object|\n {4}at /);
        expect(location, told).toBeDefined();
      }
    });
  }
});

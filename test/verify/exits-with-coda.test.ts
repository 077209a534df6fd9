import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import { makeTinyModel } from '../support/tiny-model.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

// Verified, a package whose model has both was called wrong: its tokens were compared with ones that had seen each
// other's coda behind loops that they did not leave after.
test.each([
  'depth-batched',
  'loop',
] as const)('tokens that leave into a coda are compared in the form %s', async (form) => {
  const [model, out] = [join(folder, 'model'), join(folder, 'out')];
  makeTinyModel(model, { prelude: 1, block: 1, loops: 2, coda: 1, ranks: [2, 3], exits: { after: [1] } });
  const compiled = await compile({ model, out, form });
  if (!compiled.ok) expect.fail(JSON.stringify(compiled.diagnostics));
  const runs: string[] = [];
  const verified = await verifyPackage(out, { onProgress: ({ step }) => runs.push(step) });
  if (!verified.ok) expect.fail(JSON.stringify(verified.diagnostics));
  expect(verified.value.differences).toEqual([]);
  expect(runs.some((run) => run.includes('exit_threshold'))).toBe(true);
});

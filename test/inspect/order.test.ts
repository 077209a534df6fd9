import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatInspection } from '../../compiler/inspect/format-inspection.ts';
import { inspect } from '../../compiler/inspect/inspect.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';

let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rtc-inspect-order-'));
});
afterAll(() => rmSync(root, { recursive: true }));

/** The rows of rtc inspect that begin with one of these words, spaces as one. */
async function rows(options: Partial<TinyModelOptions>, ...words: readonly string[]): Promise<readonly string[]> {
  const folder = mkdtempSync(join(root, 'model-'));
  makeTinyModel(folder, options);
  const found = await inspect(folder);
  if (!found.ok) throw new Error(JSON.stringify(found.diagnostics));
  const lines = formatInspection(found.value, (line) => line)
    .split('\n')
    .map((line) => line.trim().replaceAll(/ +/g, ' '));
  return lines.filter((line) => words.some((word) => line.startsWith(`${word} `)));
}

test('an order is shown as it runs, what runs several times in a row once', async () => {
  expect(await rows({ block: 2, loops: 3, order: 'sequence' }, 'block', 'order', 'layers')).toEqual(
    expect.arrayContaining(['block 6 layers × 1 loop', 'order 0 × 3, 1 × 3', 'layers 2 stored, 6 run']),
  );
  expect(await rows({ layers: [2, 0, 0, 1, 0, 0, 1, 3] }, 'order')).toEqual(['order 2, (0 × 2, 1) × 2, 3']);
  expect(await rows({ block: 2, loops: 2 }, 'order', 'norms')).toEqual([]);
});

test('norms and ranks of each depth; a layer counts as often as it runs, its norms once', async () => {
  const shape = { layers: [0, 1, 0, 0], ranks: [1, 0, 2], norms: 'per-depth' } as const;
  expect(await rows(shape, 'norms', 'LoRA')).toEqual(
    expect.arrayContaining(['norms of their own at each depth', 'LoRA rank 1, none, 2 by depth']),
  );
  // In bytes: 4 × (q and o 32·32, k and v 16·32, three of 48·32) of matrices, which run 3 times and once; norms of 4 uses.
  const matrices = 4 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32);
  const norms = 4 * 2 * 4 * 32;
  const folder = mkdtempSync(join(root, 'model-'));
  makeTinyModel(folder, shape);
  const found = await inspect(folder);
  expect(found).toMatchObject({
    value: { sizes: { block: { stored: 2 * matrices + norms, unrolled: 4 * matrices + norms } } },
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { readModel } from '../../compiler/read/read-model.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { tinyModelOptions } from '../support/tiny-model-options.ts';

test('every valid small model reads, and says what it was made of', async () => {
  const root = mkdtempSync(join(tmpdir(), 'rtc-tiny-'));
  let made = 0;
  try {
    await fc.assert(
      fc.asyncProperty(tinyModelOptions(), async (options) => {
        const folder = join(root, String(made++));
        makeTinyModel(folder, options);
        const result = await readModel(folder);
        expect(result.diagnostics).toEqual([]);
        if (!result.ok) return;
        const { spec, recursion, tensors, lora, exits } = result.value;
        const { prelude, block, loops, coda, norms } = options;
        expect(recursion).toEqual({ prelude, block, loops, coda, norms });
        expect(spec).toMatchObject({
          modelType: options.modelType,
          storedLayers: prelude + block + coda,
          heads: options.heads,
          kvHeads: options.kvHeads,
          headDim: options.headDim,
          tiedEmbeddings: options.tied,
        });
        expect(lora?.alpha).toBe(options.ranks === undefined ? undefined : options.alpha);
        expect(exits?.after ?? []).toEqual(options.exits?.after ?? []);
        expect([...tensors.values()].some((t) => t.dtype === options.dtype)).toBe(true);
      }),
      { numRuns: 150 },
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildGraph } from '../../../compiler/architectures/build-graph.ts';
import { readModel } from '../../../compiler/read/read-model.ts';
import { findLoop } from '../../../passes/fold-loop.ts';
import { makeTinyModel } from '../../support/tiny-model.ts';
import { tinyModelOptions } from '../../support/tiny-model-options.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-fold-loop-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('models of any architecture and any mix of features: model.json is found in the graph', async () => {
  let count = 0;
  await fc.assert(
    fc.asyncProperty(tinyModelOptions(), async (options) => {
      const path = join(folder, String(count++));
      makeTinyModel(path, options);
      const read = await readModel(path);
      if (!read.ok) expect.fail(JSON.stringify(read.diagnostics));
      const { prelude, block, loops, coda } = read.value.recursion;
      const found = findLoop(buildGraph(read.value));
      rmSync(path, { recursive: true });
      if (loops === 1) expect(found).toMatchObject({ found: false });
      else expect(found).toMatchObject({ found: true, prelude, block, loops, coda, carried: [{}], remarks: [] });
    }),
    { numRuns: 60 },
  );
});

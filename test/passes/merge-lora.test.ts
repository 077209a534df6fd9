import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { mergeLora } from '../../passes/merge-lora.ts';
import { checkFixture, fixturesIn } from '../support/fixture.ts';

describe.each(['bake', 'keep', 'concatenate'] as const)('%s', (strategy) => {
  test.each(fixturesIn(`merge-lora/${strategy}`))('$title', async ({ file }) => {
    await checkFixture(mergeLora({ strategy }), file);
  });
});

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'merge-lora');

test('what cannot be baked is named, with the reason', async () => {
  const notes = async (file: string) =>
    (await checkFixture(mergeLora({ strategy: 'bake' }), join(fixtures, 'bake', file))).notes.filter((note) =>
      note.includes('kept'),
    );
  expect(await notes('loop.rtc')).toEqual([
    'block/layer.0/q: kept, as it differs from depth to depth in a loop',
    'block/layer.0/k: kept, as it differs from depth to depth in a loop',
  ]);
  expect(await notes('kept.rtc')).toEqual([
    'up: kept, as the product that it is added to is used elsewhere',
    'other: kept, as the weight that it is added to is computed',
  ]);
});

test('the cost model counts what a strategy reads, multiplies and writes', async () => {
  const { notes } = await checkFixture(mergeLora({ strategy: 'bake' }), join(fixtures, 'bake', 'merged.rtc'));
  // W: 6·4 + 2·4. A and B: 2·(4 + 6) + 3·(4 + 2). One scale is 2, which multiplies A; the other, 1.5, is a node.
  expect(notes.slice(0, 3)).toEqual([
    'keep: 0.3 kB of weights, 0.000 million multiplications and 9 nodes a token, about 21 us; writes nothing',
    'concatenate: 0.3 kB of weights, 0.000 million multiplications and 9 nodes a token, about 20 us; writes nothing',
    'bake: 0.1 kB of weights, 0.000 million multiplications and 2 nodes a token, about 5 us; writes 0.1 kB',
  ]);
});

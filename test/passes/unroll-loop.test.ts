import { describe, expect, test } from 'vitest';
import { printGraph } from '../../ir/print.ts';
import { unrollLoop } from '../../passes/unroll-loop.ts';
import { checkFixture, fixturesIn } from '../support/fixture.ts';

describe('fixtures', () => {
  test.each(fixturesIn('unroll-loop'))('$title', async ({ file }) => {
    const { output, notes } = await checkFixture(unrollLoop, file);
    const left = output.ops.filter(({ kind }) => kind === 'loop').length;
    expect(notes.filter((note) => note.endsWith('stays.'))).toHaveLength(left);
    const again = unrollLoop.run({ ...output, stage: 'folded' }, { note: () => {} });
    expect(printGraph(again), 'a second run finds nothing').toBe(printGraph(output));
  });
});

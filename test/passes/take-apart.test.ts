import { expect, test } from 'vitest';
import { allOps } from '../../ir/graph.ts';
import { printGraph } from '../../ir/print.ts';
import { takeApart } from '../../passes/take-apart.ts';
import { checkFixture, fixturesIn, readFixture } from '../support/fixture.ts';

test.each(fixturesIn('take-apart'))('$title', async ({ file }) => {
  await checkFixture(takeApart(new Set()), file);
});

test.each(fixturesIn('take-apart-but-attention'))('$title', async ({ file }) => {
  await checkFixture(takeApart(new Set(['attention'])), file);
});

test.each(fixturesIn('take-apart'))('what the target keeps stays: $title', ({ file }) => {
  const { input } = readFixture(file);
  const kinds = new Set([...allOps(input)].map(({ kind }) => kind));
  const kept = takeApart(kinds).run(input, { note: () => {} });
  // An update of rank 0 goes all the same: nobody has an operator for nothing.
  if (file.endsWith('low-rank.rtc')) expect(printGraph(kept)).toContain('return %y, z: %base');
  else if (file.endsWith('low-rank-by-depth.rtc')) expect(printGraph(kept)).toContain('return %y, z: %x');
  else expect(printGraph({ ...kept, stage: input.stage })).toBe(printGraph(input));
});

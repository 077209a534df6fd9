import { describe, test } from 'vitest';
import { flattenRows } from '../../passes/flatten-rows.ts';
import { fuseAddLinear } from '../../passes/fuse-add-linear.ts';
import { fuseAddNorm } from '../../passes/fuse-add-norm.ts';
import { fuseRotary } from '../../passes/fuse-rotary.ts';
import { joinRotary } from '../../passes/join-rotary.ts';
import { checkFixture, fixturesIn } from '../support/fixture.ts';

describe.each([flattenRows, fuseAddLinear, fuseAddNorm, fuseRotary, joinRotary])('$name', (pass) => {
  test.each(fixturesIn(pass.name))('$title', async ({ file }) => {
    await checkFixture(pass, file);
  });
});

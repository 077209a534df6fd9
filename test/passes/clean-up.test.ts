import { describe, expect, test } from 'vitest';
import { interpret } from '../../ir/interpret/interpret.ts';
import { printGraph } from '../../ir/print.ts';
import { cse } from '../../passes/cse.ts';
import { foldConstants } from '../../passes/fold-constants.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { insertExitHeads } from '../../passes/insert-exit-heads.ts';
import { removeDeadCode } from '../../passes/remove-dead-code.ts';
import { unrollLoop } from '../../passes/unroll-loop.ts';
import { expectClose } from '../support/expect-close.ts';
import { checkFixture, fixturesIn } from '../support/fixture.ts';
import { promptInputs, referenceModel, referenceNames } from '../support/reference-model.ts';

const silent = { note: () => {} };
const passes = [foldConstants, cse, removeDeadCode];

describe.each(passes)('$name', (pass) => {
  test.each(fixturesIn(pass.name))('$title', async ({ file }) => {
    const { output } = await checkFixture(pass, file);
    const again = pass.run(output, silent);
    expect(printGraph(again), 'a second run finds nothing').toBe(printGraph(output));
  });
});

test.each(referenceNames)('%s: to the last bit the same, folded and unrolled', async (name) => {
  const { graph, readWeight, reference } = await referenceModel(name);
  const inputs = promptInputs(graph, reference.get('input_ids')!);
  const folded = insertExitHeads({ mode: 'exit-logits', after: [1] }).run(foldLoop.run(graph, silent), silent);
  const expected = await interpret(folded, inputs, { readWeight });
  for (const form of [folded, unrollLoop.run(folded, silent)]) {
    const cleaned = passes.reduce((before, pass) => pass.run(before, silent), form);
    const found = await interpret(cleaned, inputs, { readWeight });
    for (const [output, tensor] of expected) expectClose(found.get(output)!, tensor, 0, output);
  }
});

import { describe, expect, test } from 'vitest';
import { interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { type InsertExitHeadsOptions, insertExitHeads } from '../../passes/insert-exit-heads.ts';
import { unrollLoop } from '../../passes/unroll-loop.ts';
import { expectClose } from '../support/expect-close.ts';
import { checkFixture, fixturesIn } from '../support/fixture.ts';
import { loopReference } from '../support/loop-reference.ts';
import { promptInputs, referenceModel, referenceNames } from '../support/reference-model.ts';

const silent = { note: () => {} };

test.each(fixturesIn('insert-exit-heads/exit-logits'))('exit-logits: $title', async ({ file }) => {
  await checkFixture(insertExitHeads({ mode: 'exit-logits', after: [1, 2, 3] }), file);
});

test.each(fixturesIn('insert-exit-heads/in-loop'))('in-loop: $title', async ({ file }) => {
  const after = file.endsWith('no-exits.rtc') ? [] : [1];
  const options: InsertExitHeadsOptions = { mode: 'in-loop', after, confidence: 'margin' };
  // A threshold of 1 never lets go: then all is as it was.
  const adaptInputs = (inputs: ReadonlyMap<string, Tensor>) =>
    new Map([
      ...inputs,
      ['max_loops', makeTensor('i64', [], [3])],
      ['exit_threshold', makeTensor('f32', [], [1])],
    ] as const);
  await checkFixture(insertExitHeads(options), file, { adaptInputs });
});

describe.each(referenceNames)('%s', (name) => {
  test('exit logits are those of transformers, folded and unrolled; nothing else changes', async () => {
    const { model, graph, readWeight, reference } = await referenceModel(name);
    const after = Array.from({ length: model.recursion.loops }, (_, i) => i + 1);
    const folded = foldLoop.run(graph, silent);
    const headed = insertExitHeads({ mode: 'exit-logits', after }).run(folded, silent);
    expect(headed.weights.length, 'weights').toBe(folded.weights.length);
    const inputs = promptInputs(graph, reference.get('input_ids')!);
    const expected = await interpret(folded, inputs, { readWeight });
    for (const form of [headed, unrollLoop.run(headed, silent)]) {
      const found = await interpret(form, inputs, { readWeight });
      for (const [output, tensor] of expected) expectClose(found.get(output)!, tensor, 0, output);
      const exits = [...found.keys()].filter((output) => output.startsWith('exit_logits.'));
      expect(exits).toEqual(after.slice(0, -1).map((n) => `exit_logits.${n}`));
      // With a coda there is no reference; exits-in-loop.test.ts has one of its own.
      for (const exit of exits) {
        const known = reference.get(exit);
        expect(known !== undefined).toBe(model.recursion.coda === 0);
        if (known) expectClose(found.get(exit)!, known, 1e-5, exit);
      }
    }
  });
});

test('exit logits through a coda are those of a model that stops there', async () => {
  const { model, graph, readWeight, reference } = await referenceModel('llama-middle-cycle');
  const folded = foldLoop.run(graph, silent);
  const headed = insertExitHeads({ mode: 'exit-logits', after: [2] }).run(folded, silent);
  const inputs = promptInputs(graph, reference.get('input_ids')!);
  const found = await interpret(headed, inputs, { readWeight });
  const width = reference.get('input_ids')!.shape[1]!;
  const row = Array.from(reference.get('input_ids')!.data.subarray(0, width));
  const { logits } = loopReference(model).run(row, undefined, { maxLoops: 2, threshold: 1 });
  const vocab = model.spec.vocabSize;
  const first = makeTensor('f32', [width, vocab], found.get('exit_logits.2')!.data.subarray(0, width * vocab));
  expectClose(
    first,
    makeTensor(
      'f32',
      [width, vocab],
      logits.flatMap((x) => Array.from(x)),
    ),
    1e-9,
  );
});

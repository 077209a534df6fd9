import { describe, expect, test } from 'vitest';
import { parseGraph } from '../../ir/parse.ts';
import { printGraph } from '../../ir/print.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { cse } from '../../passes/cse.ts';
import { findLoop, foldLoop } from '../../passes/fold-loop.ts';
import { takeApart } from '../../passes/take-apart.ts';
import { unrollLoop } from '../../passes/unroll-loop.ts';
import { checkFixture, expectSameNumbers, fixturesIn, readFixture } from '../support/fixture.ts';
import { randomStream } from '../support/random.ts';
import { referenceModel, referenceNames } from '../support/reference-model.ts';
import { shuffled } from './fold-loop/toy-model.ts';

const silent = { note: () => {} };

describe('fixtures', () => {
  test.each(fixturesIn('fold-loop'))('$title', async ({ file }) => {
    const { output, notes } = await checkFixture(foldLoop, file);
    const search = findLoop(readFixture(file).input);
    expect(output.ops.some(({ kind }) => kind === 'loop')).toBe(search.found);
    expect(notes[0]).toMatch(search.found ? /^A block of 1 repeated part, / : /^No loop: .+\.$/);
  });

  test('the note of a fixture that is no loop says why', async () => {
    const { notes } = await checkFixture(
      foldLoop,
      fixturesIn('fold-loop').find(({ file }) => /odd-attr/.test(file))!.file,
    );
    expect(notes).toEqual([
      'No loop: "w" is used 2 times, but rms_norm {epsilon=0.5} ("normed") stands where rms_norm {epsilon=0.25} ("normed.1") does.',
    ]);
  });
});

describe('reference models', () => {
  test.each(referenceNames)('%s: block, loops, prelude and coda are found', async (name) => {
    const { graph, model } = await referenceModel(name);
    const { prelude, block, loops, coda } = model.recursion;
    const found = findLoop(graph);
    if (loops === 1) {
      expect(found).toMatchObject({ found: false, reason: 'No weight is used twice by operations of one kind.' });
      return;
    }
    expect(found).toMatchObject({ found: true, loops, prelude, block, coda, layersAre: 'attention', remarks: [] });
    if (!found.found) return;
    expect(found.carried).toHaveLength(1);
    expect(found.collected).toHaveLength(2 * block);
    // Every stored tensor of a block layer is shared, but for its LoRA factors, of which there are some at every depth.
    const tensors = [...model.tensors.keys()].filter((tensor) => {
      const layer = Number(/layers\.(\d+)\./.exec(tensor)?.[1] ?? -1);
      return layer >= prelude && layer < prelude + block;
    });
    expect(found.shared.map((weight) => weight.name).sort()).toEqual(
      tensors.filter((t) => !t.includes('.lora_')).sort(),
    );
    const factors = found.perDepth.filter(({ kind }) => kind === 'factors').flatMap(({ values }) => values);
    expect(factors.map((factor) => factor.name).sort()).toEqual(tensors.filter((t) => t.includes('.lora_')).sort());
    expect(found.perDepth.filter(({ kind }) => kind === 'inputs')).toHaveLength(2 * block);
    expect(found.perDepth.filter(({ kind }) => kind === 'values' || kind === 'weights')).toEqual([]);
  });

  test.each(referenceNames)('%s: folded and written out again, it computes the same', async (name) => {
    const { graph, model } = await referenceModel(name);
    const folded = foldLoop.run(graph, silent);
    expect(verifyGraph(folded)).toEqual([]);
    expect(folded.inputs).toEqual(graph.inputs);
    expect(folded.outputs.map((output) => output.name)).toEqual(graph.outputs.map((output) => output.name));
    await expectSameNumbers(graph, folded, 'exact');

    const back = unrollLoop.run(folded, silent);
    expect(verifyGraph(back)).toEqual([]);
    await expectSameNumbers(graph, back, 'exact');
    expect(cse.run(back, silent).ops).toHaveLength(cse.run(graph, silent).ops.length);
    expect(back.weights.map(({ value }) => value.name).sort()).toEqual(
      graph.weights.map(({ value }) => value.name).sort(),
    );
    const scopes = (ops: typeof graph.ops) =>
      new Set(ops.filter(({ kind }) => kind !== 'constant').map(({ scope }) => scope));
    expect(scopes(back.ops)).toEqual(scopes(graph.ops));

    if (model.recursion.loops === 1) {
      expect(folded).toEqual({ ...graph, stage: 'folded' });
      return;
    }
    const loop = folded.ops.find((op) => op.kind === 'loop')!;
    expect(loop.body!.ops.every(({ scope }) => /^block\/layer\.\d+/.test(scope))).toBe(true);
    expect(folded.weights.filter(({ expr }) => expr.kind !== 'stack').length).toBeLessThanOrEqual(
      model.tensors.size + 1,
    );
  });

  test('text of a folded model reads back', async () => {
    const { graph } = await referenceModel('llama-relaxed');
    const text = printGraph(foldLoop.run(graph, silent));
    const parsed = parseGraph(text);
    expect(parsed.ok && printGraph(parsed.graph)).toBe(text);
  });
});

describe('as others would export them', () => {
  test.each(referenceNames)('%s: taken apart, in another order, without names', async (name) => {
    const { graph, model } = await referenceModel(name);
    const apart = takeApart(new Set(['low_rank'])).run(graph, silent);
    const foreign = shuffled({ ...apart, stage: 'unrolled' as const }, randomStream(name), true);
    const { prelude, block, loops, coda } = model.recursion;
    const found = findLoop(foreign);
    if (loops === 1) expect(found).toMatchObject({ found: false });
    else expect(found).toMatchObject({ loops, prelude, block, coda, layersAre: 'softmax', carried: [{}], remarks: [] });
    await expectSameNumbers(foreign, foldLoop.run(foreign, silent), 'exact');
  });

  test('LoRA of one rank as two products', async () => {
    const { graph } = await referenceModel('gemma-relaxed');
    const foreign = { ...takeApart(new Set()).run(graph, silent), stage: 'unrolled' as const };
    const found = findLoop(foreign);
    expect(found).toMatchObject({ found: true, loops: 2, block: 2 });
    await expectSameNumbers(foreign, foldLoop.run(foreign, silent), 'exact');
  });

  test('LoRA of different ranks as two products is none: only low_rank can be filled up', async () => {
    const { graph } = await referenceModel('llama-relaxed');
    const foreign = { ...takeApart(new Set()).run(graph, silent), stage: 'unrolled' as const };
    expect(findLoop(foreign)).toMatchObject({
      found: false,
      reason: expect.stringMatching(
        /lora_\w\.depth_1\.weight" f32\[\d+,\d+\] stands where .*lora_\w\.depth_0\.weight"/,
      ),
    });
  });
});

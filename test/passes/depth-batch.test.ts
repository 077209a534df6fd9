import { describe, expect, test } from 'vitest';
import type { Graph } from '../../ir/graph.ts';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { type DepthBatchOptions, depthBatch } from '../../passes/depth-batch.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { checkFixtureText, fixturesIn, readFixture } from '../support/fixture.ts';
import { randomWeight } from '../support/random-tensors.ts';
import { referenceModel, referenceNames } from '../support/reference-model.ts';
import { expectStepLikeSource } from '../support/step/expect-step-like-source.ts';

const silent = { note: () => {} };

describe('fixtures', () => {
  const options: DepthBatchOptions = {
    layers: { prelude: 0, block: 1, loops: 2, coda: 0 },
    pageSize: 16,
    groups: 1,
    confidence: 'top1',
  };
  test.each(fixturesIn('depth-batch'))('$title', async ({ file }) => {
    const folded = readFixture(file).input as Graph<'folded'>;
    const loops = folded.ops.some(({ kind }) => kind === 'loop') ? 2 : 1;
    const recursion = { ...options.layers, loops };
    const graph = checkFixtureText(depthBatch({ ...options, layers: recursion }), file).output;
    const cache = new Map<string, Tensor>();
    const { run } = createInterpreter(graph, { readWeight: randomWeight, cache });
    const how = { recursion, folded, readWeight: randomWeight, cache, graph, run, groups: 1, seed: file, tolerance: 0 };
    await expectStepLikeSource({ ...how, sequences: [[3, 1, 4, 1, 5], [2], [6, 5, 3]] });
  });
});

describe.each(referenceNames)('%s in steps is what the source graph computes, to the bit', (name) => {
  test.each([1, 3])('attention groups: %i', async (groups) => {
    const { model, graph: source, readWeight, reference } = await referenceModel(name);
    const folded = foldLoop.run(source, silent);
    const { recursion } = model;
    const graph = depthBatch({ layers: recursion, pageSize: 16, groups, confidence: 'top1' }).run(folded, silent);
    expect(verifyGraph(graph)).toEqual([]);
    const cache = new Map<string, Tensor>();
    const { run } = createInterpreter(graph, { readWeight, cache });
    const ids = reference.get('input_ids')!;
    const row = (r: number, length: number) => Array.from(ids.data.subarray(r * ids.shape[1]!).subarray(0, length));
    const how = { recursion, folded, readWeight, cache, graph, run, groups, seed: name, tolerance: 0 };
    await expectStepLikeSource({ ...how, sequences: [row(0, 5), row(1, 1), row(1, 7)] });
  });
});

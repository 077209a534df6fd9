import { expect, test } from 'vitest';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { depthBatch } from '../../passes/depth-batch.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { referenceModel, referenceNames } from '../support/reference-model.ts';
import { expectStepLikeSource } from '../support/step/expect-step-like-source.ts';

const silent = { note: () => {} };

test.each(
  referenceNames.flatMap((name) => [1, 3].map((groups) => ({ name, groups }))),
)('$name in steps, $groups attention groups: what the source graph computes, to the bit', async ({ name, groups }) => {
  const { model, graph: source, readWeight, reference } = await referenceModel(name);
  const folded = foldLoop.run(source, silent);
  const pass = depthBatch({ layers: model.recursion, pageSize: 16, groups, confidence: 'top1' });
  const graph = pass.run(folded, silent);
  expect(verifyGraph(graph)).toEqual([]);
  const cache = new Map();
  const { run } = createInterpreter(graph, { readWeight, cache });
  const ids = reference.get('input_ids')!;
  const row = (r: number, length: number) =>
    Array.from(ids.data.subarray(r * ids.shape[1]!, r * ids.shape[1]! + length));
  await expectStepLikeSource({
    model,
    source,
    readWeight,
    cache,
    graph,
    run,
    groups,
    tolerance: 0,
    seed: name,
    sequences: [row(0, 5), row(1, 1), row(1, 7)],
  });
});

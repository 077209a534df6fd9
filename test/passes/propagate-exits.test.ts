import { expect, test } from 'vitest';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { makeTensor } from '../../ir/interpret/tensor.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { propagateExits } from '../../passes/propagate-exits.ts';
import { expectClose } from '../support/expect-close.ts';
import { type Entry, modelParts } from '../support/model-parts.ts';
import { randomStream } from '../support/random.ts';
import { type ReferenceModel, referenceModel, referenceNames } from '../support/reference-model.ts';

const silent = { note: () => {} };

function propagated({ graph, model }: ReferenceModel) {
  return propagateExits(model.recursion).run(foldLoop.run(graph, silent), silent);
}

const folded = referenceNames.filter((name) => name !== 'kjv-teacher');

test.each(
  folded,
)('%s: keys and values that each layer of the source graph makes of a state, at any depth', async (name) => {
  const given = await referenceModel(name);
  const { prelude, block, loops } = given.model.recursion;
  const { kvHeads, headDim } = given.model.spec;
  const graph = propagated(given);
  expect(verifyGraph(graph)).toEqual([]);
  const width = graph.inputs[0]!.type.dims[1] as number;
  const random = randomStream(name);
  const tokens = [0, 3, 1, 9].map((position) => ({
    position,
    depth: Math.floor(random() * loops),
    state: Float64Array.from({ length: width }, () => 4 * random() - 2),
  }));
  const n = tokens.length;
  const outputs = await createInterpreter(graph, given).run(
    new Map([
      [
        'hidden',
        makeTensor(
          'f32',
          [n, width],
          tokens.flatMap(({ state }) => [...state]),
        ),
      ],
      [
        'depth',
        makeTensor(
          'i64',
          [n],
          tokens.map(({ depth }) => depth),
        ),
      ],
      [
        'position_ids',
        makeTensor(
          'i64',
          [n],
          tokens.map(({ position }) => position),
        ),
      ],
    ]),
  );
  const parts = modelParts(given.model);
  const nothing: Entry = { key: new Float64Array(kvHeads * headDim), value: new Float64Array(kvHeads * headDim) };
  for (let layer = prelude; layer < prelude + block; layer++) {
    const found = { key: outputs.get(`new_key.${layer}`)!, value: outputs.get(`new_value.${layer}`)! };
    for (const [i, { position, depth, state }] of tokens.entries()) {
      const before = Array.from({ length: position }, () => nothing);
      const { entry } = await parts.layer(layer, depth, state, before);
      for (const part of ['key', 'value'] as const) {
        const own = found[part].data.slice(i * kvHeads * headDim, (i + 1) * kvHeads * headDim);
        const what = `${part} of layer ${layer} at depth ${depth}, position ${position}`;
        const shape = [kvHeads, headDim];
        expectClose(makeTensor('f32', shape, own), makeTensor('f32', shape, entry[part]), 0, what);
      }
    }
  }
  expect(outputs.size).toBe(2 * block);
});

test('a model without a loop has no depths to skip', async () => {
  const given = await referenceModel('kjv-teacher');
  expect(() => propagated(given)).toThrow('There is no loop, so no token can skip a depth.');
});

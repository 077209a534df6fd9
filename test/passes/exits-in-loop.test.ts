import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildGraph } from '../../compiler/architectures/build-graph.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { Confidence } from '../../compiler/read/source-model.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { everyLoop, expectExitsLikeReference, thresholdAt, turns } from '../support/exits.ts';
import { loopForm, padBatch } from '../support/loop-form.ts';
import { loopReference } from '../support/loop-reference.ts';
import { type ReferenceModel, referenceModel, referenceNames } from '../support/reference-model.ts';
import { makeTinyModel, type TinyModelOptions, tinyDefaults } from '../support/tiny-model.ts';
import { tinyModelOptions } from '../support/tiny-model-options.ts';

const names = referenceNames.filter((name) => name !== 'kjv-teacher');

type Given = Pick<ReferenceModel, 'model' | 'graph' | 'readWeight'>;

async function compare(
  { model, graph, readWeight }: Given,
  prompts: readonly (readonly (readonly number[])[])[],
  options: {
    readonly padding: 'left' | 'right';
    readonly confidence?: Confidence;
    readonly after?: readonly number[];
    readonly cache?: Map<string, Tensor>;
  },
  leave: { readonly maxLoops: number; readonly threshold: number },
): Promise<readonly number[]> {
  const { padding, confidence = 'top1', after = everyLoop(model) } = options;
  const form = loopForm(graph, model, { after, confidence });
  expect(verifyGraph(form)).toEqual([]);
  const interpreter = createInterpreter(form, { readWeight, cache: options.cache ?? new Map() });
  return expectExitsLikeReference(model, form, interpreter.run, prompts, {
    padding,
    after,
    confidence,
    tolerance: 1e-9,
    ...leave,
  });
}

describe.each(names)('%s', (name) => {
  test('token by token as the plain reference, at several thresholds, padded on either side', async () => {
    const given = await referenceModel(name);
    const { loops } = given.model.recursion;
    const plain = loopReference(given.model);
    const cache = new Map<string, Tensor>();
    for (const [part, padding] of [
      [0.25, 'left'],
      [0.6, 'right'],
    ] as const) {
      const threshold = thresholdAt(part, plain, turns(given)[0]!, loops, 'top1');
      const exits = await compare(given, turns(given), { padding, cache }, { maxLoops: loops, threshold });
      expect(new Set(exits).size, 'loops behind which tokens leave').toBeGreaterThan(1);
    }
    // Limits out of range are clamped; a threshold of 1 or more never lets go, one of 0 at once.
    for (const leave of [
      { maxLoops: 99, threshold: 1 },
      { maxLoops: loops - 1, threshold: 1.5 },
      { maxLoops: -1, threshold: 0.5 },
      { maxLoops: loops, threshold: 0 },
    ]) {
      await compare(given, turns(given), { padding: 'left', cache }, leave);
    }
  });
});

describe.each(['kjv-relaxed', 'llama-middle-cycle'])('%s', (name) => {
  test.each(['margin', 'entropy'] as const)('leaves by %s', async (confidence) => {
    const given = await referenceModel(name);
    const { loops } = given.model.recursion;
    const threshold = thresholdAt(0.5, loopReference(given.model), turns(given)[0]!, loops, confidence);
    const exits = await compare(given, turns(given), { padding: 'left', confidence }, { maxLoops: loops, threshold });
    expect(new Set(exits).size).toBeGreaterThan(1);
  });

  test('leaves only behind the loops that are exits', async () => {
    const given = await referenceModel(name);
    const plain = loopReference(given.model);
    const threshold = thresholdAt(0.3, plain, turns(given)[0]!, 3, 'top1');
    const exits = await compare(given, turns(given), { padding: 'right', after: [2] }, { maxLoops: 3, threshold });
    expect(new Set(exits)).toEqual(new Set([2, 3]));
  });

  test('without exits max_loops alone decides', async () => {
    const given = await referenceModel(name);
    expect(
      await compare(given, turns(given), { padding: 'left', after: [] }, { maxLoops: 2, threshold: 0.1 }),
    ).toContain(2);
  });
});

async function withTinyModel<T>(options: TinyModelOptions, use: (given: Given) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'rtc-exits-'));
  try {
    makeTinyModel(folder, options);
    const read = await readModel(folder);
    if (!read.ok) expect.fail(JSON.stringify(read.diagnostics));
    const readWeight: Given['readWeight'] = ({ file, dtype, dims, ...range }) =>
      makeTensor(dtype, dims, decodeTensor(dtype, readTensorSync(join(folder, file), range)));
    return await use({ model: read.value, graph: buildGraph(read.value), readWeight });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('random models: any architecture, prelude, a coda of several layers, windows, ranks', async () => {
  const options = tinyModelOptions({ exits: { after: [1] }, modelJson: true }).chain((model) =>
    fc.record({
      model: fc.constantFrom(0, 1, 2).map((coda) => ({ ...model, coda, loops: Math.max(model.loops, 2) })),
      confidence: fc.constantFrom<Confidence>('top1', 'margin', 'entropy'),
      padding: fc.constantFrom('left' as const, 'right' as const),
      part: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
      maxLoops: fc.integer({ min: 1, max: 5 }),
    }),
  );
  const property = fc.asyncProperty(options, async ({ model, confidence, padding, part, maxLoops }) =>
    withTinyModel({ ...model, ranks: model.ranks && repeat(model.ranks, model.loops) }, async (given) => {
      const prompts = [
        [[3, 9, 27, 14, 8], [11, 4, 7], [30]],
        [
          [6, 2],
          [2, 6],
          [1, 5],
        ],
      ];
      const threshold = thresholdAt(part, loopReference(given.model), prompts[0]!, model.loops, confidence);
      await compare(given, prompts, { padding, confidence }, { maxLoops, threshold });
    }),
  );
  await fc.assert(property, { numRuns: 12 });
}, 60_000);

test('a coda of two layers: the second hears what those who left wrote when they did', async () => {
  const options = { ...tinyDefaults, coda: 2, loops: 3, exits: { after: [1, 2] } };
  await withTinyModel(options, async (given) => {
    const prompts = [
      [
        [3, 9, 27, 14, 8],
        [11, 4, 7],
      ],
      [
        [6, 2],
        [1, 5],
      ],
    ];
    const threshold = thresholdAt(0.5, loopReference(given.model), prompts[0]!, 3, 'top1');
    const exits = await compare(given, prompts, { padding: 'left' }, { maxLoops: 3, threshold });
    expect(new Set(exits).size).toBeGreaterThan(1);
  });
});

function repeat<T>(list: readonly T[], length: number): readonly T[] {
  return Array.from({ length }, (_, i) => list[i % list.length]!);
}

test('a model without a loop has the interface, and every token leaves behind loop 1', async () => {
  const { model, graph, readWeight, reference } = await referenceModel('kjv-teacher');
  const form = loopForm(graph, model);
  const ids = Array.from(reference.get('input_ids')!.data.subarray(0, 4));
  const batch = padBatch(form, { tokens: [ids, ids.slice(0, 2)], padding: 'left' }, { maxLoops: 7, threshold: 0.5 });
  const outputs = await createInterpreter(form, { readWeight }).run(batch.inputs);
  expect(Array.from(outputs.get('exit_loop')!.data)).toEqual(new Array(8).fill(1));
  expect(outputs.get('present.5.key')!.shape).toEqual([1, 2, model.spec.kvHeads, 4, model.spec.headDim]);
});

test('the plain reference computes what transformers does', async () => {
  for (const name of names) {
    const { model, reference } = await referenceModel(name);
    const ids = reference.get('input_ids')!;
    const width = ids.shape[1]!;
    const row = Array.from(ids.data.subarray(0, width));
    const { logits } = loopReference(model).run(row, undefined, { maxLoops: model.recursion.loops, threshold: 1 });
    const expected = reference.get('logits')!.data.subarray(0, width * model.spec.vocabSize);
    const scale = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const found = logits.flatMap((vector) => Array.from(vector));
    const difference = found.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0);
    expect(difference / scale, name).toBeLessThan(1e-5);
  }
});

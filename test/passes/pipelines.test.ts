import { describe, expect, test } from 'vitest';
import type { Graph } from '../../ir/graph.ts';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { printGraph } from '../../ir/print.ts';
import { fileWeights, weightKey } from '../../ir/weights.ts';
import { depthBatch } from '../../passes/depth-batch.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { depthBatchedPipeline, loopPipeline, type PipelineOptions, unrolledPipeline } from '../../passes/pipelines.ts';
import { propagateExits } from '../../passes/propagate-exits.ts';
import { replay, replayNames } from '../../passes/replay.ts';
import { writeReproducer } from '../../passes/reproducer.ts';
import { type PassRecord, runPasses } from '../../passes/run-passes.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { expectClose } from '../support/expect-close.ts';
import { promptInputs, type ReferenceModel, referenceModel, referenceNames } from '../support/reference-model.ts';

type Form = 'unrolled' | 'loop';

function lower(
  { model, graph }: ReferenceModel,
  form: Form,
  options: Partial<PipelineOptions> = {},
): { readonly graph: Graph; readonly passes: readonly PassRecord[] } {
  const { exits, recursion } = model;
  const every = Array.from({ length: recursion.loops - 1 }, (_, i) => i + 1);
  const given = {
    precision: 'f32',
    lora: 'auto',
    keeps: dialects.portable.keeps,
    exits: exits?.after ?? every,
    ...options,
  } as const;
  const result = runPasses(graph, (source, run) =>
    form === 'unrolled'
      ? unrolledPipeline(source, { ...given, exitLogits: true }, run)
      : loopPipeline(source, { ...given, layers: recursion, confidence: exits?.confidence ?? 'top1' }, run),
  );
  if (result.outcome !== 'done') return expect.fail(JSON.stringify(result));
  return result;
}

/** Inputs for some columns of the prompts, behind what was computed for the columns before. */
function columnsOf(
  graph: Graph,
  ids: Tensor,
  [from, to]: readonly [number, number],
  loops: number,
  past: ReadonlyMap<string, Tensor> | undefined,
): ReadonlyMap<string, Tensor> {
  const [rows, width] = ids.shape as [number, number];
  const cut = (start: number, end: number, value: (row: number, column: number) => number) =>
    makeTensor(
      'i64',
      [rows, end - start],
      Array.from({ length: rows }, (_, r) => Array.from({ length: end - start }, (_, c) => value(r, start + c))).flat(),
    );
  const inputs = new Map(
    promptInputs(
      graph,
      cut(from, to, (r, c) => ids.data[r * width + c]!),
    ),
  );
  inputs.set(
    'attention_mask',
    cut(0, to, () => 1),
  );
  inputs.set(
    'position_ids',
    cut(from, to, (_, c) => c),
  );
  if (inputs.has('max_loops')) inputs.set('max_loops', makeTensor('i64', [], [loops]));
  if (inputs.has('exit_threshold')) inputs.set('exit_threshold', makeTensor('f32', [], [1]));
  for (const name of past ? inputs.keys() : []) {
    if (name.startsWith('past_key_values')) inputs.set(name, past!.get(name.replace('past_key_values', 'present'))!);
  }
  return inputs;
}

describe.each(referenceNames)('%s', (name) => {
  test.each([
    ['unrolled', 'bake', 'portable'],
    ['unrolled', 'keep', 'ort'],
    ['unrolled', 'concatenate', 'portable'],
    ['loop', 'keep', 'portable'],
    ['loop', 'concatenate', 'ort'],
  ] as const)('%s, LoRA %s, for the dialect %s: the logits of transformers, in two passes', async (form, lora, dialect) => {
    const given = await referenceModel(name);
    const { model, readWeight, reference } = given;
    const { graph } = lower(given, form, { lora, keeps: dialects[dialect].keeps });
    const interpreter = createInterpreter(graph, { readWeight });
    const ids = reference.get('input_ids')!;
    const width = ids.shape[1]!;
    let past: ReadonlyMap<string, Tensor> | undefined;
    for (const columns of [
      [0, width - 3],
      [width - 3, width],
    ] as const) {
      past = await interpreter.run(columnsOf(graph, ids, columns, model.recursion.loops, past));
      for (const [output, expected] of reference) {
        const found = past.get(output);
        if (output === 'input_ids' || !found) continue;
        expectClose(found, slice(expected, columns), 2e-6, `${output}, columns ${columns}`);
      }
    }
    expect([...past!.keys()].includes('exit_loop')).toBe(form === 'loop');
  });

  test.each([
    'unrolled',
    'loop',
  ] as const)('%s: every tensor of the checkpoint is in one weight, as it is stored', async (form) => {
    for (const lora of ['keep', 'concatenate'] as const) {
      const { graph } = lower(await referenceModel(name), form, { lora });
      const keys = graph.weights.flatMap(({ expr }) => fileWeights(expr).map(weightKey));
      expect(keys.toSorted()).toEqual([...new Set(keys)].sort());
      expect(graph.weights.filter(({ expr }) => expr.kind === 'merge')).toEqual([]);
    }
  });
});

test.each(['unrolled', 'loop'] as const)('%s: every pass that runs can be replayed by name', async (form) => {
  const given = await referenceModel('llama-relaxed');
  for (const dialect of ['portable', 'ort'] as const) {
    const { passes } = lower(given, form, { keeps: dialects[dialect].keeps, precision: 'bf16' });
    for (const pass of passes) expect(replayNames).toContain(pass.name);
  }
});

test('depth-batched: every pass that runs can be replayed by name', async () => {
  const { graph, model } = await referenceModel('llama-relaxed');
  for (const dialect of ['portable', 'ort'] as const) {
    const step = { layers: model.recursion, pageSize: 16, groups: 2, confidence: 'top1' } as const;
    const options = { ...step, precision: 'bf16', lora: 'auto', keeps: dialects[dialect].keeps, exits: [] } as const;
    const result = runPasses(graph, (source, run) => depthBatchedPipeline(source, options, run));
    if (result.outcome !== 'done') return expect.fail(JSON.stringify(result));
    for (const pass of result.passes) expect(replayNames).toContain(pass.name);
  }
});

test.each(['depth-batch', 'propagate-exits'])('%s breaks again as it broke: from its options', async (name) => {
  const { graph, model } = await referenceModel('llama-relaxed');
  const folded = foldLoop.run(graph, { note: () => {} });
  const step = { layers: model.recursion, pageSize: 32, groups: 3, confidence: 'margin' } as const;
  const pass = name === 'depth-batch' ? depthBatch(step) : propagateExits(model.recursion);
  const again = replay(writeReproducer(pass, folded, 'as if'));
  if (!('outcome' in again) || again.outcome !== 'done') return expect.fail(JSON.stringify(again));
  expect(printGraph(again.graph)).toBe(printGraph(pass.run(folded, { note: () => {} })));
});

test('auto says what every strategy costs, and never makes the package grow', async () => {
  const { passes } = lower(await referenceModel('kjv-relaxed'), 'unrolled');
  const notes = passes.find((pass) => pass.name === 'merge-lora')!.notes;
  expect(notes.map((note) => note.split(':')[0])).toEqual([
    'keep',
    'concatenate',
    'bake',
    expect.stringMatching(/keep|conc/),
  ]);
  expect(notes[2]).toMatch(/writes [\d.]+ MB$/);
  expect(notes[3]).toMatch(/about \d+ us a token; bake would write [\d.]+ MB$/);
});

/** Columns of a tensor [rows, columns, ..]. */
function slice({ dtype, shape, data }: Tensor, [from, to]: readonly [number, number]): Tensor {
  const [rows, width, inner] = shape as [number, number, number];
  const parts = Array.from({ length: rows }, (_, r) =>
    data.subarray((r * width + from) * inner, (r * width + to) * inner),
  );
  return makeTensor(
    dtype,
    [rows, to - from, inner],
    parts.flatMap((part) => Array.from(part)),
  );
}

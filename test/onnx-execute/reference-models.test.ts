import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTensorSync } from '../../files/read-tensor.ts';
import type { Graph, Stage } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import type { Pass, RunPass } from '../../passes/pass.ts';
import { loopPipeline, unrolledPipeline } from '../../passes/pipelines.ts';
import type { Precision } from '../../passes/set-precision.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { createOnnxExecutor } from '../../targets/onnx/execute/onnx-executor.ts';
import { lowerToOnnx } from '../../targets/onnx/lower.ts';
import type { Dialect } from '../../targets/onnx/onnx-file.ts';
import { loadOnnx, placeOnnx } from '../onnx/run-onnx.ts';
import { expectClose } from '../support/expect-close.ts';
import { promptInputs, type ReferenceModel, referenceModel, referenceNames } from '../support/reference-model.ts';

type Form = 'unrolled' | 'loop';

const run = ((pass: Pass<Stage, Stage>, graph: Graph) => pass.run(graph, { note: () => {} })) as RunPass;

function lower({ model, graph }: ReferenceModel, form: Form, dialect: Dialect, precision: Precision) {
  const exits = model.exits?.after ?? [];
  const common = { precision, lora: 'keep', keeps: dialects[dialect].keeps, exits } as const;
  const confidence = model.exits?.confidence ?? 'top1';
  const lowered =
    form === 'unrolled'
      ? unrolledPipeline(graph, { ...common, exitLogits: exits.length > 0 }, run)
      : loopPipeline(graph, { ...common, layers: model.recursion, confidence }, run);
  return { lowered, file: lowerToOnnx(lowered, { dialect, fileName: 'model.onnx', version: 'test', metadata: {} }) };
}

/** The reference's tokens at once, through all loops. */
function allLoops({ model, reference }: ReferenceModel, graph: Graph): ReadonlyMap<string, Tensor> {
  const inputs = new Map(promptInputs(graph, reference.get('input_ids')!));
  if (inputs.has('max_loops')) inputs.set('max_loops', makeTensor('i64', [], [model.recursion.loops]));
  if (inputs.has('exit_threshold')) inputs.set('exit_threshold', makeTensor('f32', [], [1]));
  return inputs;
}

async function execute(folder: string, inputs: ReadonlyMap<string, Tensor>): Promise<ReadonlyMap<string, Tensor>> {
  const executor = createOnnxExecutor(readFileSync(join(folder, 'model.onnx')), async (location, offset, length) =>
    readTensorSync(join(folder, location), { offset, length }),
  );
  if (!executor.ok) expect.fail(JSON.stringify(executor.diagnostics));
  const result = await executor.value.run(inputs);
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  return result.value;
}

async function sourceLogits({ graph, readWeight, reference }: ReferenceModel): Promise<Tensor> {
  const outputs = await interpret(graph, promptInputs(graph, reference.get('input_ids')!), { readWeight });
  return outputs.get('logits')!;
}

describe.each(referenceNames)('%s as it is written', (name) => {
  test.each<[Form, Dialect]>([
    ['unrolled', 'portable'],
    ['loop', 'ort'],
  ])('gives in the form %s, dialect %s, what ONNX Runtime gives and what the source says', async (form, dialect) => {
    const source = await referenceModel(name);
    const { lowered, file } = lower(source, form, dialect, 'f32');
    const inputs = allLoops(source, lowered);
    const loaded = await loadOnnx(file, source.model.folder);
    try {
      const ours = await execute(loaded.folder, inputs);
      const theirs = await loaded.run(inputs);
      expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
      // ONNX Runtime rounds inside of sums too.
      for (const [output, tensor] of theirs) expectClose(ours.get(output)!, tensor, 5e-5, output);
      expectClose(ours.get('logits')!, await sourceLogits(source), 1e-5, 'logits');
    } finally {
      await loaded.close();
    }
  });
});

describe('what ONNX Runtime cannot compute on a CPU', () => {
  test.each<[string, Form, Precision, tolerance: number]>([
    ['kjv-relaxed', 'unrolled', 'bf16', 1e-2],
    ['kjv-relaxed', 'loop', 'bf16', 1e-2],
    ['qwen3-recursive', 'loop', 'f16', 4e-3],
  ])('%s, %s in %s, is near the source, and as far as the type takes it', async (name, form, precision, tolerance) => {
    const source = await referenceModel(name);
    const { lowered, file } = lower(source, form, 'portable', precision);
    const { folder } = await placeOnnx(file, source.model.folder);
    const ours = (await execute(folder, allLoops(source, lowered))).get('logits')!;
    const expected = await sourceLogits(source);
    expectClose(ours, expected, tolerance, 'logits');
    expect(() => expectClose(ours, expected, tolerance / 100)).toThrow();
  });
});

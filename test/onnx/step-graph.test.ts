import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { depthBatchedPipeline } from '../../passes/pipelines.ts';
import { runPasses } from '../../passes/run-passes.ts';
import type { Precision } from '../../passes/set-precision.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { lowerToOnnx } from '../../targets/onnx/lower.ts';
import type { Dialect } from '../../targets/onnx/onnx-file.ts';
import { type ReferenceModel, referenceModel, referenceNames } from '../support/reference-model.ts';
import { expectStepLikeSource } from '../support/step/expect-step-like-source.ts';
import { loadOnnx } from './run-onnx.ts';

interface Variant {
  readonly dialect: Dialect;
  readonly groups: number;
  readonly lora: 'keep' | 'concatenate' | 'gather';
  readonly precision?: Precision;
  readonly tolerance: number;
}

/** Of the largest magnitude; f16 as far as these small models let its roundings grow. */
const variants: readonly Variant[] = [
  { dialect: 'portable', groups: 1, lora: 'concatenate', tolerance: 1e-4 },
  { dialect: 'ort', groups: 2, lora: 'gather', tolerance: 1e-4 },
];

function stepOf({ model, graph }: ReferenceModel, { dialect, groups, lora, precision = 'f32' }: Variant) {
  const { recursion: layers, exits } = model;
  const step = { layers, pageSize: 16, groups, confidence: exits?.confidence ?? 'entropy' } as const;
  const options = { ...step, precision, lora, keeps: dialects[dialect].keeps, exits: [] } as const;
  const result = runPasses(graph, (source, run) => depthBatchedPipeline(source, options, run));
  if (result.outcome !== 'done') return expect.fail(JSON.stringify(result));
  return result.graph.step;
}

async function expectOnOnnxRuntime(name: string, variant: Variant): Promise<void> {
  const source = await referenceModel(name);
  const { readWeight, model, reference } = source;
  const graph = stepOf(source, variant);
  const file = lowerToOnnx(graph, { dialect: variant.dialect, fileName: 'step.onnx', version: '0', metadata: {} });
  const onnx = await loadOnnx(file, join(import.meta.dirname, '..', 'models', name));
  try {
    const folded = foldLoop.run(source.graph, { note: () => {} });
    const ids = reference.get('input_ids')!;
    const row = (r: number, length: number) => Array.from(ids.data.subarray(r * ids.shape[1]!).subarray(0, length));
    await expectStepLikeSource({
      recursion: model.recursion,
      folded,
      readWeight,
      cache: new Map<string, Tensor>(),
      graph,
      run: onnx.run,
      groups: variant.groups,
      tolerance: variant.tolerance,
      seed: `${name} ${variant.dialect}`,
      sequences: [row(0, 7), row(1, 1), row(1, 4)],
    });
  } finally {
    await onnx.close();
  }
}

describe.each(referenceNames)('%s in ONNX Runtime', (name) => {
  test.each(variants)('$dialect, $lora, attention groups: $groups', (variant) => expectOnOnnxRuntime(name, variant));
});

test('in f16', () =>
  expectOnOnnxRuntime('llama-relaxed', {
    dialect: 'portable',
    groups: 1,
    lora: 'keep',
    precision: 'f16',
    tolerance: 2e-2,
  }));

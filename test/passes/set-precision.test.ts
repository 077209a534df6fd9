import { describe, expect, test } from 'vitest';
import type { FloatDType } from '../../ir/dtype.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { roundTensor } from '../../ir/interpret/round-tensor.ts';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { fileWeights } from '../../ir/weights.ts';
import { setPrecision } from '../../passes/set-precision.ts';
import { expectClose } from '../support/expect-close.ts';
import { checkFixture, fixturesIn, readFixture } from '../support/fixture.ts';
import { loopForm } from '../support/loop-form.ts';
import { promptInputs, referenceModel, referenceNames } from '../support/reference-model.ts';

const silent = { note: () => {} };

/** Tensors as another graph of the same interface types them, numbers as they are. */
function retyped(types: ReadonlyMap<string, { readonly dtype: Tensor['dtype'] }>) {
  return (tensors: ReadonlyMap<string, Tensor>) =>
    new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, dtype: types.get(name)!.dtype }]));
}

test.each(fixturesIn('set-precision'))('$title', async ({ file }) => {
  const { input } = readFixture(file);
  const pass = setPrecision({ compute: 'bf16' });
  const output = pass.run(input, silent);
  await checkFixture(pass, file, {
    adaptInputs: retyped(new Map(output.inputs.map(({ name, type }) => [name, type]))),
    adaptOutputs: retyped(new Map(input.outputs.map(({ name, value }) => [name, value.type]))),
  });
});

test('f32 leaves a graph as it is', async () => {
  const { graph } = await referenceModel('kjv-relaxed');
  expect(setPrecision({ compute: 'f32' }).run(graph, silent)).toBe(graph);
});

describe.each(referenceNames)('%s', (name) => {
  // Largest differences seen, over the largest magnitude: trained 5e-4 and 4e-3, random (large weights) 1.8e-2 and 9.9e-2.
  const trained = name.startsWith('kjv');
  test.each([
    ['f16', trained ? 1e-3 : 2.5e-2],
    ['bf16', trained ? 8e-3 : 0.15],
  ] as const)('in %s comes near what transformers computes in float64', async (compute: FloatDType, tolerance) => {
    const { model, graph, readWeight, reference } = await referenceModel(name);
    for (const form of [graph, loopForm(graph, model)]) {
      const typed = setPrecision({ compute: compute as 'f16' | 'bf16' }).run(form, silent);
      expect(verifyGraph(typed)).toEqual([]);
      const outputs = new Map(typed.outputs.map((output) => [output.name, output.value.type.dtype]));
      expect(outputs.get('logits')).toBe('f32');
      expect(outputs.get('present.0.key')).toBe(compute);
      const inputs = new Map(promptInputs(typed, reference.get('input_ids')!));
      if (inputs.has('max_loops')) {
        inputs.set('max_loops', { dtype: 'i64', shape: [], data: Float64Array.of(model.recursion.loops) });
        inputs.set('exit_threshold', { dtype: 'f32', shape: [], data: Float64Array.of(1) });
      }
      const found = await interpret(typed, inputs, { readWeight, round: true });
      expectClose(found.get('logits')!, roundTensor(reference.get('logits')!), tolerance, 'logits');
    }
  });

  test('a 16-bit checkpoint is used as it is in its own type', async () => {
    const { graph } = await referenceModel(name);
    const typed = setPrecision({ compute: 'bf16' }).run(graph, silent);
    for (const { value, expr } of typed.weights) {
      if (value.type.dtype !== 'bf16' || fileWeights(expr)[0]?.dtype !== 'bf16') continue;
      expect(expr.kind, value.name).toBe('file');
    }
  });
});

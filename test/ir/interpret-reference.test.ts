import { describe, expect, test } from 'vitest';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { slice } from '../../ir/interpret/movement.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { parseGraph } from '../../ir/parse.ts';
import { printGraph } from '../../ir/print.ts';
import { verifyGraph } from '../../ir/verify.ts';
import { expectClose } from '../support/expect-close.ts';
import { promptInputs, referenceModel, referenceNames } from '../support/reference-model.ts';

describe.each(referenceNames)('%s', (name) => {
  test('is valid and comes back from its text form as it was', async () => {
    const { graph } = await referenceModel(name);
    expect(verifyGraph(graph)).toEqual([]);
    const text = printGraph(graph);
    const again = parseGraph(text);
    expect(again).toEqual({ ok: true, graph });
    expect(again.ok && printGraph(again.graph)).toBe(text);
  });

  test('computes what transformers does, at once and token by token', async () => {
    const { graph, readWeight, reference } = await referenceModel(name);
    const ids = reference.get('input_ids')!;
    const { run } = createInterpreter(graph, { readWeight });
    const whole = await run(promptInputs(graph, ids));
    // transformers computes rotary tables, norms and softmax in float32 even where the model is in float64.
    expectClose(whole.get('logits')!, reference.get('logits')!, 1e-5, 'logits');

    const [batch, sequence] = ids.shape as [number, number];
    let outputs = await run(promptInputs(graph, slice(ids, 1, 0, 1)));
    for (let position = 1; position < sequence; position++) {
      const inputs = new Map<string, Tensor>([
        ['input_ids', slice(ids, 1, position, 1)],
        ['attention_mask', makeTensor('i64', [batch, position + 1], new Float64Array(batch * (position + 1)).fill(1))],
        ['position_ids', makeTensor('i64', [batch, 1], new Float64Array(batch).fill(position))],
      ]);
      for (const [output, tensor] of outputs) {
        if (output !== 'logits') inputs.set(output.replace('present', 'past_key_values'), tensor);
      }
      outputs = await run(inputs);
      expectClose(outputs.get('logits')!, slice(whole.get('logits')!, 1, position, 1), 1e-12, `logits at ${position}`);
    }
  });
});

test('a small model of six layers that runs on 30 tokens takes well under a second', async () => {
  const { graph, readWeight, reference } = await referenceModel('kjv-relaxed');
  const ids = makeTensor('i64', [1, 30], [...reference.get('input_ids')!.data, ...new Float64Array(30)].slice(0, 30));
  const { run } = createInterpreter(graph, { readWeight });
  const inputs = promptInputs(graph, ids);
  await run(inputs);
  const start = performance.now();
  await run(inputs);
  expect(performance.now() - start).toBeLessThan(1000);
});

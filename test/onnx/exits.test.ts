import { describe, expect, test } from 'vitest';
import { loopPipeline } from '../../passes/pipelines.ts';
import { runPasses } from '../../passes/run-passes.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { lowerToOnnx } from '../../targets/onnx/lower.ts';
import { everyLoop, expectExitsLikeReference, thresholdAt, turns } from '../support/exits.ts';
import { loopReference } from '../support/loop-reference.ts';
import { referenceModel, referenceNames } from '../support/reference-model.ts';
import { loadOnnx } from './run-onnx.ts';

describe.each(referenceNames.filter((name) => name !== 'kjv-teacher'))('%s', (name) => {
  test.each([
    'portable',
    'ort',
  ] as const)('exits in ONNX Runtime, dialect %s, as the plain reference', async (dialect) => {
    const given = await referenceModel(name);
    const { model, graph } = given;
    const { loops } = model.recursion;
    const confidence = dialect === 'portable' ? 'margin' : 'entropy';
    const after = everyLoop(model);
    const options = { precision: 'f32', lora: 'auto', keeps: dialects[dialect].keeps, exits: after } as const;
    const result = runPasses(graph, (source, run) =>
      loopPipeline(source, { ...options, layers: model.recursion, confidence }, run),
    );
    if (result.outcome !== 'done') return expect.fail(JSON.stringify(result));
    const file = lowerToOnnx(result.graph, { dialect, fileName: 'model.onnx', version: 'test', metadata: {} });
    const loaded = await loadOnnx(file, model.folder);
    try {
      const prompts = turns(given);
      const threshold = thresholdAt(0.4, loopReference(model), prompts[0]!, loops, confidence);
      for (const leave of [
        { maxLoops: loops, threshold, padding: 'left' },
        { maxLoops: loops, threshold, padding: 'right' },
        { maxLoops: loops - 1, threshold: 1, padding: 'left' },
        { maxLoops: 0, threshold: 0.5, padding: 'left' },
      ] as const) {
        // ONNX Runtime computes in float32; large random weights make the most of it.
        const exits = await expectExitsLikeReference(model, result.graph, loaded.run, prompts, {
          ...leave,
          after,
          confidence,
          tolerance: 1e-4,
        });
        if (leave.threshold === threshold) expect(new Set(exits).size).toBeGreaterThan(1);
      }
    } finally {
      await loaded.close();
    }
  });
});

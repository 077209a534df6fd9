import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allNodes } from '../../targets/onnx/onnx-model.ts';
import { attentionNames } from '../../targets/tensorrt/attention-names.ts';
import { referenceNames } from '../support/reference-model.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { tinyModelOptions } from '../support/tiny-model-options.ts';
import { findings, loweredModels, modelIn, sourceModel } from './lowered-models.ts';

const forms = ['unrolled', 'depth-batched'] as const;
const precisions = ['f32', 'f16', 'bf16'] as const;
/** Versions that take a graph: Attention came with 10.14. */
const versions = { parts: ['10.0', '10.16', '11.0', '11.1'], native: ['10.16', '11.0', '11.1'] };

describe.each(referenceNames)('%s', (name) => {
  test.each(
    forms,
  )('%s: every version takes every node, in each precision, with Attention and without', async (form) => {
    const model = await sourceModel(name);
    for (const precision of precisions) {
      for (const attention of ['parts', 'native'] as const) {
        for (const [file, graph] of loweredModels(model, { form, precision, attention })) {
          for (const version of versions[attention]) {
            expect(findings(graph, version), `${file}, ${precision}, ${attention}, TensorRT ${version}`).toEqual([]);
          }
          // propagate.onnx attends to nothing.
          const attends = file !== 'propagate.onnx' && attention === 'native';
          expect(attentionNames(graph).length > 0).toBe(attends);
          for (const named of attentionNames(graph)) expect(named).toMatch(/^[\w./]+$/);
          expect(graph.opsets).toEqual([{ domain: '', version: attention === 'native' ? 23 : 20 }]);
        }
      }
    }
  });
});

test('below 10.14 each Attention is named, and nothing else', async () => {
  const model = await sourceModel('kjv-relaxed');
  const graph = loweredModels(model, { form: 'unrolled', precision: 'f16', attention: 'native' }).get('model.onnx')!;
  for (const version of ['10.0', '10.13']) {
    expect(findings(graph, version)).toEqual(
      attentionNames(graph).map(
        (node) =>
          `${node} (Attention): TensorRT ${version} has no Attention: its parser reads it from 10.14 on. ` +
          'Write it in parts (--attention parts), or for 10.14 (--tensorrt-version 10.14).',
      ),
    );
  }
});

test('what is written for ONNX Runtime is not for TensorRT: each operator of its own is named, and nothing else', async () => {
  const model = await sourceModel('llama-relaxed');
  const ort = loweredModels(model, { form: 'unrolled', precision: 'f32', attention: 'parts', dialect: 'ort' });
  const found = findings(ort.get('model.onnx')!, '11.1');
  // RotaryEmbedding of com.microsoft would be read as that of opset 23.
  expect(found.some((line) => line.includes('RotaryEmbedding') && line.includes('which means something else'))).toBe(
    true,
  );
  expect(found.some((line) => line.includes('no SkipSimplifiedLayerNormalization of com.microsoft'))).toBe(true);
  const foreign = [...allNodes(ort.get('model.onnx')!.graph)].filter(({ domain }) => domain !== '');
  expect(found).toHaveLength(foreign.length);
});

describe('models at random', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rtc-legal-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const drawn = fc.record({
    options: tinyModelOptions(),
    form: fc.constantFrom(...forms),
    precision: fc.constantFrom(...precisions),
    attention: fc.constantFrom('parts' as const, 'native' as const),
    lora: fc.constantFrom('auto' as const, 'keep' as const, 'concatenate' as const),
    attentionGroups: fc.constantFrom(1, 3),
    exitLogits: fc.boolean(),
  });

  test('every architecture and any mix of features is legal: windows, biases, LoRA, exits, groups', async () => {
    let sums = 0;
    await fc.assert(
      fc.asyncProperty(drawn, async ({ options, form, attentionGroups, exitLogits, ...rest }) => {
        const place = mkdtempSync(join(folder, 'model-'));
        makeTinyModel(place, options);
        const steps = form === 'depth-batched' ? { attentionGroups } : { exitLogits };
        for (const [file, graph] of loweredModels(await modelIn(place), { ...rest, form, ...steps })) {
          for (const version of versions[rest.attention]) {
            expect(findings(graph, version), `${file}, TensorRT ${version}`).toEqual([]);
          }
          sums += graph.graph.nodes.filter(({ opType }) => opType === 'CumSum').length;
        }
      }),
      { seed: 11, numRuns: 16 },
    );
    expect(sums, 'CumSum of sliding windows').toBeGreaterThan(1);
  });
});

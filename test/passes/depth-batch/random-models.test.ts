import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildGraph } from '../../../compiler/architectures/build-graph.ts';
import { readModel } from '../../../compiler/read/read-model.ts';
import type { SourceModel } from '../../../compiler/read/source-model.ts';
import { readTensorSync } from '../../../files/read-tensor.ts';
import type { Graph } from '../../../ir/graph.ts';
import { createInterpreter } from '../../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../../ir/tensor-bytes.ts';
import type { FileWeight } from '../../../ir/weights.ts';
import { depthBatch } from '../../../passes/depth-batch.ts';
import { foldLoop } from '../../../passes/fold-loop.ts';
import { depthBatchedPipeline } from '../../../passes/pipelines.ts';
import { runPasses } from '../../../passes/run-passes.ts';
import { dialects } from '../../../targets/onnx/dialects.ts';
import { expectStepLikeSource } from '../../support/step/expect-step-like-source.ts';
import { makeTinyModel, type TinyModelOptions } from '../../support/tiny-model.ts';
import { tinyModelOptions } from '../../support/tiny-model-options.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-depth-batch-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const ways = fc.record({
  model: tinyModelOptions(),
  lora: fc.constantFrom('auto' as const, 'keep' as const, 'concatenate' as const, 'gather' as const),
  dialect: fc.constantFrom('portable' as const, 'ort' as const),
  groups: fc.constantFrom(1, 1, 2, 3),
  pageSize: fc.constantFrom(16, 32),
  whole: fc.boolean(),
  lengths: fc.array(fc.integer({ min: 1, max: 21 }), { minLength: 1, maxLength: 3 }),
});
type Way = typeof ways extends fc.Arbitrary<infer T> ? T : never;

const drawn = fc.sample(ways, {
  seed: Number(process.env.RTC_RANDOM_SEED ?? 2026),
  numRuns: Number(process.env.RTC_RANDOM_MODELS ?? 24),
});

/** The step graph as the pass gives it, which is exact, or as the whole pipeline does. */
function stepOf(
  model: SourceModel,
  folded: Graph<'folded'>,
  { whole, groups, pageSize, lora, dialect }: Way,
): { readonly graph: Graph; readonly tolerance: number } {
  const { recursion: layers, exits } = model;
  const step = { layers, pageSize, groups, confidence: exits?.confidence ?? 'entropy' } as const;
  const options = { ...step, precision: 'f32', lora, keeps: dialects[dialect].keeps, exits: [] } as const;
  if (!whole) return { graph: depthBatch(step).run(folded, { note: () => {} }), tolerance: 0 };
  const result = runPasses(buildGraph(model), (graph, run) => depthBatchedPipeline(graph, options, run));
  if (result.outcome !== 'done') return expect.fail(JSON.stringify(result));
  // Behind the pipeline, numbers of the model are f32.
  return { graph: result.graph.step, tolerance: 2e-6 };
}

test.each(drawn.map((way, i) => ({ title: `model ${i}: ${titleOf(way)}`, i, way })))('$title', async ({ i, way }) => {
  const path = join(folder, String(i));
  makeTinyModel(path, way.model);
  const read = await readModel(path);
  if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
  const model = read.value;
  const folded = foldLoop.run(buildGraph(model), { note: () => {} });
  const { graph, tolerance } = stepOf(model, folded, way);
  const readWeight = (weight: FileWeight): Tensor => {
    return makeTensor(
      weight.dtype,
      weight.dims,
      decodeTensor(weight.dtype, readTensorSync(join(path, weight.file), weight)),
    );
  };
  const cache = new Map<string, Tensor>();
  const { run } = createInterpreter(graph, { readWeight, cache });
  const sequences = way.lengths.map((length, s) =>
    Array.from({ length }, (_, t) => (7 * t + 11 * s + i) % way.model.vocabSize),
  );
  await expectStepLikeSource({
    recursion: model.recursion,
    folded,
    readWeight,
    cache,
    graph,
    run,
    groups: way.groups,
    sequences,
    seed: String(i),
    tolerance,
  });
  rmSync(path, { recursive: true });
});

test('the models drawn have what makes them hard', () => {
  const share = (holds: (way: Way) => boolean) => expect(drawn.filter(holds).length).toBeGreaterThan(drawn.length / 20);
  const windowed = ({ modelType }: TinyModelOptions) => modelType === 'mistral' || modelType.startsWith('qwen');
  share(({ model }) => model.loops > 1 && model.prelude > 0);
  share(({ model }) => model.loops > 1 && model.coda > 0);
  share(({ model }) => model.loops === 1);
  share(({ model }) => model.loops > 1 && new Set(model.ranks).size > 1);
  share(({ model, lengths }) => windowed(model) && (model.slidingWindow ?? 99) < Math.max(...lengths));
  share(({ lengths, pageSize }) => Math.max(...lengths) > pageSize);
  share(({ groups, model }) => groups > 1 && model.loops > 1);
});

function titleOf({ model, whole, lora, dialect, groups, pageSize }: Way): string {
  const { modelType, prelude, block, loops, coda } = model;
  return `${modelType} ${prelude}+${block}×${loops}+${coda}, ${whole ? `${lora}, ${dialect}` : 'the pass alone'}, ${groups} groups, pages of ${pageSize}`;
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildGraph } from '../../compiler/architectures/build-graph.ts';
import { layerPlaces, usesOf } from '../../compiler/architectures/layer-places.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import type { SourceModel } from '../../compiler/read/source-model.ts';
import { formatDiagnostics } from '../../files/format-diagnostics.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import { createInterpreter } from '../../ir/interpret/interpret.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { decodeTensor } from '../../ir/tensor-bytes.ts';
import type { FileWeight } from '../../ir/weights.ts';
import { weightKey } from '../../ir/weights.ts';
import { findLoop, foldEveryLoop, foldLoop, withoutLoops } from '../../passes/fold-loop.ts';
import type { RunPass } from '../../passes/pass.ts';
import { depthBatchedPipeline, loopPipeline, unrolledPipeline } from '../../passes/pipelines.ts';
import { runPasses } from '../../passes/run-passes.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { expectClose } from '../support/expect-close.ts';
import { checkFixture, fixturesIn } from '../support/fixture.ts';
import { promptInputs } from '../support/reference-model.ts';
import { expectStepLikeSource } from '../support/step/expect-step-like-source.ts';
import { makeTinyModel, type TinyModelOptions } from '../support/tiny-model.ts';
import { orderedModelOptions } from '../support/tiny-model-options.ts';

/** Random models whose layers run in any order, through the pipelines of every form, in the interpreter. */
const drawn = fc.sample(orderedModelOptions(), {
  seed: Number(process.env.RTC_RANDOM_SEED ?? 2026),
  numRuns: Number(process.env.RTC_RANDOM_MODELS ?? 24),
});

describe('fixtures', () => {
  test.each(fixturesIn('fold-every-loop'))('$title', async ({ file }) => {
    await checkFixture(foldEveryLoop, file);
  });
});

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-orders-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function modelOf(options: TinyModelOptions): Promise<SourceModel> {
  const path = mkdtempSync(join(folder, 'model-'));
  makeTinyModel(path, options);
  const read = await readModel(path);
  if (!read.ok) return expect.fail(formatDiagnostics(read.diagnostics));
  expect(read.diagnostics).toEqual([]);
  return read.value;
}

test('a list that repeats a block is a loop to fold-loop, too: the same one', async () => {
  let loops = 0;
  await fc.assert(
    fc.asyncProperty(orderedModelOptions({ vocabSize: 40, hiddenSize: 24, intermediateSize: 24 }), async (options) => {
      const model = await modelOf(options);
      const { recursion } = model;
      if (recursion.loops === 1) return;
      loops++;
      const { prelude, block, coda } = recursion;
      const found = findLoop(buildGraph(model));
      expect(found).toMatchObject({ found: true, prelude, block, loops: recursion.loops, coda, carried: [{}] });
    }),
    { numRuns: 60, seed: Number(process.env.RTC_RANDOM_SEED ?? 7) },
  );
  expect(loops).toBeGreaterThan(15);
});

test.each(drawn.map((options, i) => ({ title: titleOf(options), options, i })))('$title', async ({ options, i }) => {
  const model = await modelOf(options);
  const { recursion, exits } = model;
  const source = buildGraph(model);
  const { prelude, block, loops, coda } = recursion;
  const layers = { prelude, block, loops, coda };
  const reuses = loops === 1 && layerPlaces(model).length > model.spec.storedLayers;
  const keeps = dialects[i % 2 === 0 ? 'portable' : 'ort'].keeps;
  const common = { precision: 'f32', lora: 'auto', keeps, exits: exits?.after ?? [] } as const;
  const inSteps = { ...common, layers, reuses, confidence: 'top1' } as const;
  const run = <T>(pipeline: (graph: Graph<'unrolled'>, pass: RunPass) => T): T => {
    const result = runPasses(source, pipeline);
    return result.outcome === 'done' ? result.graph : expect.fail(JSON.stringify(result));
  };
  const readWeight = (weight: FileWeight): Tensor => {
    const bytes = readTensorSync(join(model.folder, weight.file), weight);
    return makeTensor(weight.dtype, weight.dims, decodeTensor(weight.dtype, bytes));
  };
  const cache = new Map<string, Tensor>();
  const ids = makeTensor('i64', [2, 5], [1, 7, 3, 9, 9, 4, 0, 8, 2, 6]);
  const outputsOf = (graph: Graph): Promise<ReadonlyMap<string, Tensor>> => {
    const inputs = new Map(promptInputs(graph, ids));
    if (inputs.has('max_loops')) inputs.set('max_loops', makeTensor('i64', [], [loops]));
    if (inputs.has('exit_threshold')) inputs.set('exit_threshold', makeTensor('f32', [], [1]));
    return createInterpreter(graph, { readWeight, cache }).run(inputs);
  };

  const expected = await outputsOf(source);
  const unrolled = await outputsOf(
    run((graph, pass) => unrolledPipeline(graph, { ...common, exitLogits: false }, pass)),
  );
  for (const [name, tensor] of expected) expectClose(unrolled.get(name)!, tensor, 2e-6, `${name} unrolled`);

  const looped = run((graph, pass) => loopPipeline(graph, inSteps, pass));
  const inLoop = await outputsOf(looped);
  expectClose(inLoop.get('logits')!, expected.get('logits')!, 2e-6, 'logits of the loop');
  expect(new Set(inLoop.get('exit_loop')!.data)).toEqual(new Set([loops]));
  if (loops === 1) {
    layerPlaces(model).forEach(({ unrolled: layer }) => {
      for (const part of ['key', 'value']) {
        const { dtype, shape, data } = inLoop.get(`present.${layer}.${part}`)!;
        const alone = makeTensor(dtype, shape.length === 5 ? shape.slice(1) : shape, data);
        expectClose(alone, expected.get(`present.${layer}.${part}`)!, 2e-6, `${part} of layer ${layer}`);
      }
    });
  }
  // By the order "sequence" every layer of the block that runs several times is a loop of its own.
  if (options.order === 'sequence' && loops === 1) {
    const repeats = [...usesOf(recursion).values()].filter((uses) => uses > 1).length;
    expect(looped.ops.filter(({ kind }) => kind === 'loop')).toHaveLength(repeats);
  }

  const graph = run((given, pass) =>
    depthBatchedPipeline(given, { ...inSteps, pageSize: 16, groups: 1 + (i % 2) }, pass),
  ).step;
  const matrices = graph.weights.filter(({ value }) => value.type.dims.length > 1).map(({ expr }) => weightKey(expr));
  expect(new Set(matrices).size, 'weights once').toBe(matrices.length);
  await expectStepLikeSource({
    recursion,
    folded: reuses ? withoutLoops(source) : foldLoop.run(source, { note: () => {} }),
    readWeight,
    cache,
    graph,
    run: createInterpreter(graph, { readWeight, cache }).run,
    groups: 1 + (i % 2),
    sequences: [
      [3, 1, 4, 1, 5, 9, 2],
      [6, 5],
    ],
    seed: String(i),
    tolerance: 2e-6,
  });
});

test('the models drawn have what makes them hard', () => {
  const share = (holds: (options: TinyModelOptions) => boolean) =>
    expect(drawn.filter(holds).length).toBeGreaterThan(drawn.length / 20);
  share(({ order, block, loops, prelude }) => order === 'sequence' && block > 1 && loops > 1 && prelude > 0);
  share(({ layers }) => new Set(layers).size < (layers?.length ?? 0));
  share(({ norms, layers }) => norms === 'per-depth' && layers !== undefined);
  share(({ norms, order }) => norms === 'per-depth' && order !== undefined);
  share(({ ranks }) => new Set(ranks).size > 1);
  share(({ modelType }) => modelType === 'gpt_neox');
});

function titleOf({ modelType, prelude, block, loops, coda, layers, norms }: TinyModelOptions): string {
  const order = layers ? `layers ${layers.join(' ')}` : `sequence ${prelude}+${block}×${loops}+${coda}`;
  return `${modelType}, ${order}${norms === 'per-depth' ? ', norms by depth' : ''}`;
}

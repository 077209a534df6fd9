import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readPackage } from '../../files/package.ts';
import type { EnginePlan } from '../../targets/tensorrt/engine-plan.ts';
import { planEngines } from '../../targets/tensorrt/profiles/plan-engines.ts';
import { compiled } from '../e2e/open-package.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { drawRequests, expectMixed, results, scenarioOf } from './draw-requests.ts';
import { findPython } from './python.ts';
import { generated } from './reference.ts';
import { runHarness } from './run-harness.ts';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-triton-trt-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const found = await findPython();

function pythonOr({ skip }: TestContext): string {
  return 'path' in found ? found.path : skip(found.missing);
}

const policy = { maxRows: 6, smallRows: 2, maxContext: 64, prefillChunk: 24 };

/** A repository with stand-ins for plans: the profiles that engines would have, and ONNX Runtime behind them. */
async function withPlans(options: Omit<CompileOptions, 'out' | 'target'>, separate: boolean): Promise<string> {
  const out = join(scratch, `${separate}-${options.attentionGroups ?? 1}-${options.precision ?? 'f32'}`);
  const folder = await compiled({ ...options, out, target: 'triton', pageSize: 16 });
  const read = await readPackage(folder);
  if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
  const { graphs, cache, recursion, name } = read.value.manifest;
  const engines = planEngines({
    graphs: Object.entries(graphs).map(([file, { inputs }]) => ({ file: file.split('/').at(-1)!, inputs })),
    form: 'depth-batched',
    policy: {
      ...policy,
      exits: [0.3, 0.3, 0.4],
      pageSize: cache.pageSize!,
      groups: cache.groups!,
      loops: recursion.loops,
      tuneFor: { rows: 6, entering: 2, leaving: 2 },
    },
    separate,
  });
  const version = join(folder, name, '1');
  for (const engine of engines) {
    const inputs = graphs[`${name}/1/${engine.graph}`]!.inputs;
    const stand_in = { onnx: join(version, engine.graph), profiles: engine.profiles.map((p) => ranges(p, inputs)) };
    await writeFile(join(version, engine.plan), JSON.stringify(stand_in));
  }
  return folder;
}

/** Every input's smallest, best and largest shape; one that is fixed has three times the same. */
function ranges(
  profile: EnginePlan['profiles'][number],
  inputs: readonly { readonly name: string; readonly dims: readonly (number | string)[] }[],
): Record<string, readonly (readonly (number | string)[])[]> {
  return Object.fromEntries(
    inputs.map(({ name, dims }) => {
      const range = profile.inputs[name];
      return [name, range ? [range.min, range.opt, range.max] : [dims, dims, dims]];
    }),
  );
}

const spans = String(6 * 4);
const parameters = { max_rows: '6', prefill_rows: '2', prefill_chunk: '24', spans };

test('the engine for TensorRT, on a stand-in: within profiles, with nothing lost on the way to the pages', async (context) => {
  const python = pythonOr(context);
  const model = join(scratch, 'tiny');
  const exits = { after: [1, 2], confidence: 'margin' } as const;
  makeTinyModel(model, { vocabSize: 40, prelude: 1, coda: 1, loops: 3, exits, ranks: [1, 2, 0] });
  const requests = drawRequests(6, 12, { vocabulary: 40, longest: 40, threshold: 0.02 });
  for (const { separate, attentionGroups, policies } of [
    { separate: false, attentionGroups: 1, policies: ['last-exited', 'complete'] },
    { separate: true, attentionGroups: 2, policies: ['propagate'] },
  ] as const) {
    const folder = await withPlans({ model, attentionGroups }, separate);
    const served = await runHarness(
      python,
      folder,
      policies.map((kv_policy, seed) => scenarioOf(requests, { seed, parameters: { ...parameters, kv_policy } })),
      { stand_in_tensorrt: true },
    );
    for (const [i, kvPolicy] of policies.entries()) {
      const expected = await generated(folder, requests, kvPolicy);
      expectMixed(expected, 3);
      expect(results(served[i]!.clients)).toEqual(expected);
      // Plans are opened in the order of their names: propagate's profiles come last.
      const launches = served[i]!.launches!;
      expect(launches.slice(0, 3).every((count) => count > 0)).toBe(true);
      expect(launches.slice(3).some((count) => count > 0)).toBe(kvPolicy === 'propagate');
    }
  }
});

test('in 16 bits; and what a plan that does not load is told as', async (context) => {
  const python = pythonOr(context);
  const folder = await withPlans({ model: join(examples, 'kjv-relaxed'), precision: 'f16' }, false);
  const requests = drawRequests(7, 8, { vocabulary: 1024, longest: 30, threshold: 0.35 });
  const scenario = scenarioOf(requests, { parameters });
  const [served] = await runHarness(python, folder, [scenario], { stand_in_tensorrt: true });
  expect(results(served!.clients)).toEqual(await generated(folder, requests, 'last-exited'));

  const plan = join(folder, 'kjv-relaxed/1/step.all.plan');
  const text = await readFile(plan, 'utf8');
  await writeFile(plan, text.replace('step.onnx', 'nowhere.onnx'));
  await expect(runHarness(python, folder, [scenario], { stand_in_tensorrt: true })).rejects.toThrow(
    'TensorRT stand-in does not load step.all.plan',
  );
});

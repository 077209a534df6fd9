import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readPackage } from '../../files/package.ts';
import type { GenerationRequest } from '../../runtime/depth-batched/request.ts';
import type { EnginePlan } from '../../targets/tensorrt/engine-plan.ts';
import { compiled } from '../e2e/open-package.ts';
import { makeTinyModel } from '../support/tiny-model.ts';
import { drawRequests, expectMixed, results, scenarioOf } from './draw-requests.ts';
import { findPython } from './python.ts';
import { generated } from './reference.ts';
import { runHarness, type Scenario } from './run-harness.ts';

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

/** A repository for TensorRT with stand-ins for plans: the profiles of rtc.json, and ONNX Runtime behind them. */
async function withPlans(options: Omit<CompileOptions, 'out' | 'target'>): Promise<string> {
  const out = join(scratch, `${options.attentionGroups ?? 1}-${options.precision ?? 'f32'}`);
  const sizes = { maxRows: 6, maxContext: 64, prefillChunk: 24 };
  const tensorrt = { tensorrtVersion: '10.16', build: false, ...sizes, ...options.tensorrt };
  const folder = await compiled({ pageSize: 16, ...options, tensorrt, out, target: 'triton' });
  const read = await readPackage(folder);
  if (!read.ok) return expect.fail(JSON.stringify(read.diagnostics));
  const { graphs, tensorrt: facts } = read.value.manifest;
  for (const { graph, plan, profiles } of facts!.engines) {
    const inputs = graphs[graph]!.inputs;
    const standIn = { onnx: join(folder, graph), profiles: profiles.map((profile) => ranges(profile, inputs)) };
    await writeFile(join(folder, plan), JSON.stringify(standIn));
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

/** With the sizes that profiles are for, as config.pbtxt has them. */
function scenario(requests: readonly GenerationRequest[], more: Partial<Scenario> = {}): Scenario {
  return {
    ...scenarioOf(requests, more),
    max_candidate_sequences: 6,
    max_batch_size: 6,
    parameters: more.parameters ?? {},
  };
}

test('the engine for TensorRT, on a stand-in: within profiles, with nothing lost on the way to the pages', async (context) => {
  const python = pythonOr(context);
  const model = join(scratch, 'tiny');
  const exits = { after: [1, 2], confidence: 'margin' } as const;
  makeTinyModel(model, { vocabSize: 40, prelude: 1, coda: 1, loops: 3, exits, ranks: [1, 2, 0] });
  const requests = drawRequests(6, 8, { vocabulary: 40, longest: 40, threshold: 0.02 });
  for (const { separateEngines, attentionGroups, policies } of [
    { separateEngines: false, attentionGroups: 1, policies: ['last-exited', 'complete'] },
    { separateEngines: true, attentionGroups: 2, policies: ['propagate'] },
  ] as const) {
    const folder = await withPlans({ model, attentionGroups, tensorrt: { separateEngines } });
    const served = await runHarness(
      python,
      folder,
      policies.map((kv_policy, seed) => scenario(requests, { seed, parameters: { kv_policy } })),
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
  const folder = await withPlans({ model: join(examples, 'kjv-relaxed'), precision: 'f16' });
  const requests = drawRequests(7, 8, { vocabulary: 1024, longest: 30, threshold: 0.35 });
  const own = scenario(requests);
  const [served] = await runHarness(python, folder, [own], { stand_in_tensorrt: true });
  expect(results(served!.clients)).toEqual(await generated(folder, requests, 'last-exited'));

  const plan = join(folder, 'kjv-relaxed/1/step.all.plan');
  const text = await readFile(plan, 'utf8');
  await writeFile(plan, text.replace('step.onnx', 'nowhere.onnx'));
  await expect(runHarness(python, folder, [own], { stand_in_tensorrt: true })).rejects.toThrow(
    'TensorRT stand-in does not load step.all.plan',
  );
});

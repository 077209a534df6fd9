import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import { engineDecoder } from '../../compiler/tensorrt/run/engine-decoder.ts';
import { engineProfiles } from '../../compiler/tensorrt/run/engine-profiles.ts';
import { engineRuns } from '../../compiler/verify/engine-runs.ts';
import { loopView, stepDecoder } from '../../compiler/verify/step-decoder.ts';
import { createTally } from '../../compiler/verify/tally.ts';
import { unitRoundoff } from '../../compiler/verify/tolerance.ts';
import { verifyAgainstModel } from '../../compiler/verify/verify-against-model.ts';
import { verifyPropagate } from '../../compiler/verify/verify-propagate.ts';
import { success } from '../../files/diagnostics.ts';
import { type PackageManifest, propagateGraphName, stepGraphName } from '../../files/manifest.ts';
import { readPackage } from '../../files/package.ts';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import type { OnnxNode } from '../../targets/onnx/onnx-model.ts';
import { decodeModel, encodeModel } from '../../targets/onnx/proto.ts';
import { modelFolder } from '../package/simple-package.ts';
import { fakeRunner, profileOf, type Ranges } from './engine-fakes.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

/** Three profiles as small as they can be, so that everything has to be split or padded. */
const narrow: Readonly<Record<string, Ranges>> = {
  decode: { tokens: [1, 1], rows: [1, 3], rows_0: [1, 2], rows_1: [1, 2], rows_2: [1, 2] },
  small: { tokens: [1, 1], rows: [1, 1], rows_0: [1, 1], rows_1: [1, 1], rows_2: [1, 1] },
  prefill: { tokens: [1, 8], rows: [1, 2], rows_0: [1, 1], rows_1: [1, 1], rows_2: [1, 1], heads: [1, 16] },
};

/** What a package compiles to, run as engines whose profiles have these ranges, compared with its model. */
async function verified(
  name: string,
  options: Partial<CompileOptions>,
  ranges: Readonly<Record<string, Ranges>> = narrow,
  change?: (outputs: ReadonlyMap<string, Tensor>) => ReadonlyMap<string, Tensor>,
  { roundoff = unitRoundoff.sixDigits as number, forged = (path: string) => path } = {},
) {
  const out = join(folder, 'out');
  const compiled = await compile({ model: modelFolder(name), out, pageSize: 16, ...options });
  if (!compiled.ok) expect.fail(JSON.stringify(compiled.diagnostics));
  const pack = await readPackage(out);
  const model = await readModel(modelFolder(name), {});
  if (!pack.ok || !model.ok) expect.fail('unreadable');
  const { manifest } = pack.value;
  const fake = fakeRunner((plan) => {
    const file = plan.endsWith('propagate.plan') ? propagateGraphName : stepGraphName;
    return { path: forged(join(out, file)), inputs: manifest.graphs[file]!.inputs };
  }, change);
  const used: string[] = [];
  const open = async (file: string) => {
    const graph = { file, ...manifest.graphs[file]! };
    const sizes = file === stepGraphName ? ranges : { all: { n: [1, 4] } as Ranges };
    const plan = file.replace('.onnx', '.plan');
    const made = Object.entries(sizes).map(([profile, range]) => profileOf(profile, graph.inputs, range));
    const profiles = engineProfiles([{ graph: file, plan, profiles: made }], graph);
    const onCall = (profile: { readonly name: string }) => used.push(profile.name);
    const decoder = engineDecoder({ graph, profiles, folder: out, scratch: folder, run: fake.run, onCall });
    return success({ decoder, executedBy: '' });
  };
  const opened = await open(stepGraphName);
  if (!opened.ok) expect.fail('not opened');
  const { decoder } = opened.value;
  const tally = createTally();
  const common = { model: model.value, seed: 0, tally, roundoff };
  const view: PackageManifest = loopView(manifest);
  await verifyAgainstModel({
    ...{ ...common, manifest: view, onRun: () => {}, signal: undefined },
    decoder: stepDecoder(decoder, manifest),
    few: engineRuns(view, model.value, []),
  });
  const propagated = await verifyPropagate({ ...common, open, manifest, onRun: () => {} });
  expect(propagated.ok).toBe(true);
  return { outputs: tally.outputs(), differences: tally.differences(), used, ...fake, manifest };
}

describe('engines that take no empty list, few rows and short prompts', () => {
  test.each([
    ['llama-middle-cycle', {}],
    ['llama-middle-cycle', { attentionGroups: 3 }],
  ] as const)('%s with %j gives what its model gives', async (name, options) => {
    const { outputs, differences, used, runs, feeds } = await verified(name, options);
    expect(differences).toEqual([]);
    expect(outputs.map((output) => output.name)).toContain('logits');
    // Every profile was tried, and nothing went beyond the sizes it has.
    expect(new Set(used)).toEqual(new Set(['decode', 'small', 'prefill', 'all']));
    expect(
      runs.every(({ shapes }) =>
        Object.values(shapes)
          .flat()
          .every((size) => size > 0),
      ),
    ).toBe(true);
    // Outputs and inputs of calls are gone.
    expect(readdirSync(folder)).toEqual(['out']);
    // A row that enters nothing does not lose its state to a list that must have an entry.
    for (const tensors of feeds) {
      for (const row of tensors.get('entering_rows')?.data ?? []) expect(tensors.get('depth')!.data[row]).toBe(0);
    }
  });

  test('rows at three depths meet in one step, and their past spans pages', async () => {
    const { feeds, differences } = await verified('llama-middle-cycle', {}, { all: { heads: [1, 64] } });
    expect(differences).toEqual([]);
    const depths = feeds.filter((tensors) => tensors.has('page_table')).map((tensors) => tensors.get('depth')!.data);
    expect(depths.some((depth) => new Set(depth).size === 3)).toBe(true);
    expect(feeds.some((tensors) => (tensors.get('page_table')?.shape[1] ?? 0) >= 2)).toBe(true);
  });
});

test.each([
  ['step', 'logits', 'logits'],
  ['propagate', 'new_value.1', 'propagated.1.value'],
])('a number that is wrong in %s is found, in the output that has it: %s', async (graph, output, named) => {
  const change = (outputs: ReadonlyMap<string, Tensor>) => {
    if (outputs.has('logits') !== (graph === 'step')) return outputs;
    const tensor = outputs.get(output)!;
    return new Map([...outputs, [output, { ...tensor, data: tensor.data.map((x) => x * 1.01) }]]);
  };
  const { differences } = await verified('llama-middle-cycle', {}, narrow, change);
  expect(differences.map((difference) => difference.output)).toEqual([named]);
});

test('sizes that no profile takes are named, with what it takes', async () => {
  const tooShort = {
    decode: { ...narrow.decode, pages: [1, 1] },
    prefill: { ...narrow.prefill, pages: [1, 1] },
  } as const;
  await expect(verified('llama-middle-cycle', {}, tooShort)).rejects.toMatchObject({
    diagnostic: {
      code: 'no-profile',
      message: 'No profile of the engines of "step.onnx" takes this call; of "decode": pages is 2 (1 to 1).',
    },
  });
});

test('an output that is not there, or is cut off, is not taken for zeros', async () => {
  const without = (outputs: ReadonlyMap<string, Tensor>) =>
    new Map([...outputs].filter(([name]) => name !== 'confidence'));
  await expect(verified('llama-middle-cycle', {}, narrow, without)).rejects.toMatchObject({
    diagnostic: { code: 'trtexec-failed', message: expect.stringContaining('no output "confidence"') },
  });
});

describe('products in TF32, whose factors have the digits of f16 and the range of f32', () => {
  test('agree within what that may change', async () => {
    const { differences, outputs } = await verified('llama-middle-cycle', {}, narrow, undefined, {
      ...{ roundoff: unitRoundoff.tf32, forged: inTf32 },
    });
    expect(differences).toEqual([]);
    // Not by far more than it takes.
    const { maxRel, tolerance } = outputs.find(({ name }) => name === 'logits')!;
    expect(maxRel! * 100).toBeGreaterThan(tolerance);
  });

  test('are found where f32 was asked for', async () => {
    const { differences } = await verified('llama-middle-cycle', {}, narrow, undefined, { forged: inTf32 });
    expect(differences.map(({ output }) => output)).toContain('logits');
  });
});

/** A copy of a graph, beside it, in which factors of products go through f16: nothing here is too small for that. */
function inTf32(path: string): string {
  const decoded = decodeModel(readFileSync(path), path);
  if (!decoded.ok) expect.fail('the graph does not decode');
  const { graph } = decoded.value;
  let rounded = 0;
  const cast = (from: string, to: string, type: number): OnnxNode => ({
    ...{ name: to, opType: 'Cast', domain: '', inputs: [from], outputs: [to] },
    attributes: { to: { kind: 'int', value: type } },
  });
  const nodes = graph.nodes.flatMap((node): readonly OnnxNode[] => {
    if (node.opType !== 'MatMul' && node.opType !== 'Gemm') return [node];
    const casts = node.inputs.slice(0, 2).flatMap((input) => {
      const name = `tf32_${rounded++}`;
      return [cast(input, `${name}_half`, 10), cast(`${name}_half`, name, 1)];
    });
    const inputs = [casts[1]!.outputs[0]!, casts[3]!.outputs[0]!, ...node.inputs.slice(2)];
    return [...casts, { ...node, inputs }];
  });
  expect(rounded).toBeGreaterThan(0);
  const copy = path.replace('.onnx', '-tf32.onnx');
  writeFileSync(copy, encodeModel({ ...decoded.value, graph: { ...graph, nodes } }));
  return copy;
}

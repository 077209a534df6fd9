import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import { describeDifference, formatVerifyReport } from '../../compiler/verify/format-verify-report.ts';
import { tooLarge, type VerifyOptions, verifyPackage } from '../../compiler/verify/verify-package.ts';
import type { VerifyReport } from '../../compiler/verify/verify-report.ts';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { readSafetensors } from '../../files/safetensors.ts';
import { modelFolder } from '../package/simple-package.ts';
import { changeAttribute, changeNode, forgeGraph, forgeWeight, moveOffset } from './corrupt-package.ts';

const reference = join(modelFolder('kjv-relaxed'), 'reference.safetensors');

let folder: string;
let out: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  out = join(folder, 'out');
});

afterEach(() => rmSync(folder, { recursive: true }));

async function compiled(name: string, options: Partial<CompileOptions> = {}): Promise<void> {
  const result = await compile({ model: modelFolder(name), out, form: 'unrolled', ...options });
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
}

async function report(
  options: VerifyOptions = {},
): Promise<VerifyReport & { readonly diagnostics: readonly Diagnostic[] }> {
  const result = await verifyPackage(out, options);
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  return { ...result.value, diagnostics: result.diagnostics };
}

test('the document is the contract: version, ok, and for each output how far it is off', async () => {
  await compiled('llama-relaxed', { exitLogits: true });
  const { document, differences, diagnostics } = await report();
  expect(diagnostics).toEqual([]);
  expect(differences).toEqual([]);
  expect(Object.keys(document)).toEqual(['version', 'ok', 'outputs']);
  expect(document).toMatchObject({ version: 1, ok: true });
  const caches = Array.from({ length: 6 }, (_, i) => [`present.${i}.key`, `present.${i}.value`]).flat();
  expect(document.outputs.map(({ name }) => name)).toEqual(['logits', ...caches, 'exit_logits.1']);
  const [logits, cache] = document.outputs;
  expect(Object.keys(logits!)).toEqual(['name', 'maxAbs', 'maxRel', 'tolerance', 'argmaxAgreement', 'ok']);
  expect(logits).toMatchObject({ tolerance: 1e-4, argmaxAgreement: 1, ok: true });
  // Not zero: something was computed, and in other arithmetic.
  expect(logits!.maxRel).toBeGreaterThan(1e-8);
  expect(cache!.argmaxAgreement).toBe(null);
});

test('the same seed gives the same report, another one other numbers', async () => {
  await compiled('llama-recursive');
  const first = await report({ seed: 7 });
  expect(await report({ seed: 7 })).toEqual(first);
  expect((await report({ seed: 8 })).document.outputs[0]).not.toEqual(first.document.outputs[0]);
});

test('in the loop form shallower models are compared as well, and where tokens left', async () => {
  await compiled('llama-middle-cycle', { form: 'loop' });
  const runs: string[] = [];
  const { document } = await report({ onProgress: ({ step }) => runs.push(step) });
  expect(document.ok).toBe(true);
  expect(document.outputs.find(({ name }) => name === 'exit_loop')).toMatchObject({
    maxAbs: 0,
    tolerance: 0,
    ok: true,
  });
  expect(runs).toContain('one long row, max_loops 1');
  expect(runs).toContain('one long row, max_loops 2');
});

test.each([
  'gpt-neox-relaxed',
  'kjv-relaxed',
  'llama-recursive',
  'qwen3-recursive',
])('in the loop form of %s some tokens leave early, and where they do is compared', async (name) => {
  await compiled(name, { form: 'loop' });
  const runs: string[] = [];
  const { document, diagnostics } = await report({ onProgress: ({ step }) => runs.push(step) });
  expect(diagnostics).toEqual([]);
  expect(document.ok).toBe(true);
  expect(runs.at(-1)).toMatch(/exit_threshold 0\.\d+/);
});

describe.each(['unrolled', 'loop'] as const)('a package of the form %s that is not right', (form) => {
  beforeEach(() => compiled('kjv-relaxed', { form }));

  async function expectDifferent(name: string | RegExp, options: VerifyOptions = {}): Promise<void> {
    const { document, differences } = await report(options);
    expect(document.ok).toBe(false);
    expect(differences[0]?.output).toMatch(name);
    const wrong = document.outputs.find((output) => output.name === differences[0]?.output);
    expect(wrong?.ok).toBe(false);
    expect(wrong?.maxRel).toBeGreaterThan(1e-4);
  }

  test('an offset: the weights of a projection one row further', async () => {
    forgeGraph(out, (graph) => moveOffset(graph, (tensor) => tensor.includes('layers.1.mlp.down_proj.weight')));
    await expectDifferent('logits');
    await expectDifferent('logits', { reference });
  });

  test('an attribute: another axis of a softmax', async () => {
    forgeGraph(out, (graph) => changeAttribute(graph, 'Softmax', 'axis', { kind: 'int', value: 1 }));
    await expectDifferent('logits');
    await expectDifferent('logits', { reference });
  });

  test('a weight of the checkpoint: the reference knows, and so does the model when it is named', async () => {
    await forgeWeight(out, 'model.safetensors', 'model.layers.1.mlp.up_proj.weight');
    await expectDifferent('logits', { reference });
    await expectDifferent('logits', { model: modelFolder('kjv-relaxed') });
  });

  test('the first position that differs is named with both values', async () => {
    await forgeWeight(out, 'model.safetensors', 'model.embed_tokens.weight');
    const { differences } = await report({ model: modelFolder('kjv-relaxed') });
    // The embedding is the head too, so one token's logit is wrong everywhere: in the first position already.
    const [first] = differences;
    expect(first).toMatchObject({ output: 'logits', run: 'one token, call 1', index: [0, 0, 512] });
    expect(first!.axes).toEqual(['batch', 'position', 'token']);
    expect(Math.abs(first!.actual - first!.expected)).toBeGreaterThan(first!.allowed);
    expect(describeDifference(first!)).toMatch(/^"logits" differs first at batch 0, position 0, token 512: it is /);
  });
});

test('a confidence that is not the one of the model: found although all else is right', async () => {
  await compiled('kjv-relaxed', { form: 'loop' });
  forgeGraph(out, (graph) =>
    changeNode(graph, (node) => (node.name === '/block/exit/ReduceMax' ? { ...node, opType: 'ReduceMin' } : undefined)),
  );
  const { document, differences } = await report();
  expect(document.ok).toBe(false);
  expect(differences.find(({ output }) => output === 'exit_loop')?.run).toContain('exit_threshold');
  expect(differences.every(({ run }) => run.includes('exit_threshold'))).toBe(true);
});

test('a weight that rtc computed: found without any help', async () => {
  await compiled('kjv-relaxed', { lora: 'bake' });
  const path = join(out, 'generated.safetensors');
  const header = await readSafetensors(path, { path, shown: path });
  const baked = header.ok ? [...header.value.tensors.values()].find(({ shape }) => shape[0] === 512) : undefined;
  await forgeWeight(out, 'generated.safetensors', baked!.name);
  const { document, differences } = await report();
  expect(document.ok).toBe(false);
  expect(differences[0]?.output).toBe('logits');
});

test('a file that was altered after it was written is not verified, even when the numbers are right', async () => {
  await compiled('llama-recursive');
  const path = join(out, 'model.onnx');
  const bytes = readFileSync(path);
  const version = bytes.indexOf('rtc.form');
  bytes[version]! ^= 0x20;
  writeFileSync(path, bytes);
  const { document, differences, diagnostics } = await report();
  expect(differences).toEqual([]);
  expect(document.ok).toBe(false);
  expect(diagnostics).toMatchObject([{ code: 'altered-file', location: { file: path } }]);
});

test('an altered graph that ONNX Runtime refuses is not verified', async () => {
  await compiled('llama-recursive');
  const path = join(out, 'model.onnx');
  writeFileSync(path, readFileSync(path).fill(0xff, 100, 400));
  const { document, diagnostics } = await report();
  expect(document).toEqual({ version: 1, ok: false, outputs: [] });
  expect(diagnostics.map(({ code }) => code)).toEqual(['altered-file', 'onnxruntime-failed']);
});

test('a graph that ONNX Runtime refuses although nobody altered it is a failure of an outside tool', async () => {
  await compiled('llama-recursive');
  forgeGraph(out, (graph) => ({ ...graph, nodes: graph.nodes.slice(1) }));
  const result = await verifyPackage(out);
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'onnxruntime-failed' }] });
});

test('an output that is missing, or has another shape, is told as a difference', async () => {
  await compiled('llama-recursive');
  forgeGraph(out, (graph) => ({
    ...graph,
    outputs: graph.outputs.map((output) => (output.name === 'present.0.key' ? { ...output, name: 'x' } : output)),
    nodes: graph.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map((name) => (name === 'present.0.key' ? 'x' : name)),
      outputs: node.outputs.map((name) => (name === 'present.0.key' ? 'x' : name)),
    })),
  }));
  const { document, differences } = await report();
  expect(document.ok).toBe(false);
  expect(document.outputs.find(({ name }) => name === 'present.0.key')).toMatchObject({ maxAbs: null, ok: false });
  expect(describeDifference(differences[0]!)).toBe(
    '"present.0.key" has the shape [0]; [1, 2, 1, 16] was expected (one token, call 1).',
  );
});

test('weights that were left out: the model has to be named', async () => {
  await compiled('llama-recursive', { writeWeights: true });
  expect(await verifyPackage(out)).toMatchObject({ ok: false, diagnostics: [{ code: 'model-needed' }] });
  expect((await report({ model: modelFolder('llama-recursive') })).document.ok).toBe(true);
  expect((await report({ reference: join(modelFolder('llama-recursive'), 'reference.safetensors') })).document.ok).toBe(
    true,
  );
});

test('another model than that of the package is told', async () => {
  await compiled('llama-recursive');
  const result = await verifyPackage(out, { model: modelFolder('kjv-relaxed') });
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'wrong-model' }] });
});

test('a reference of another model is told, every tensor of it', async () => {
  await compiled('llama-recursive');
  const result = await verifyPackage(out, { reference });
  expect(result.ok).toBe(false);
  expect(result.diagnostics.map(({ code, location }) => `${code} ${location?.path}`)).toContain(
    'invalid-reference logits',
  );
});

test('no package, no report', async () => {
  expect(await verifyPackage(out)).toMatchObject({ ok: false, diagnostics: [{ code: 'not-a-package' }] });
  await compiled('llama-recursive');
  rmSync(join(out, 'model.onnx'));
  expect(await verifyPackage(out)).toMatchObject({ ok: false, diagnostics: [{ code: 'missing-file' }] });
});

test('aborting in the middle', async () => {
  await compiled('llama-recursive');
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  expect(await verifyPackage(out, { signal: controller.signal, onProgress })).toMatchObject({
    ok: false,
    diagnostics: [{ code: 'interrupted' }],
  });
});

test('a layout for other software is verified from its own model as well', async () => {
  await compiled('llama-relaxed', { layout: 'huggingface' });
  expect((await report()).document.ok).toBe(true);
});

test('the table names every output but many caches, and the verdict', async () => {
  await compiled('kjv-relaxed', { form: 'loop' });
  const fine = formatVerifyReport(await report({ reference }));
  expect(fine).toMatch(/^logits +\d\.\d\de-\d+ +\d\.\d\de-\d+ +1\.00e-4 +100\.00 % {2}ok$/m);
  expect(fine).toMatch(/^logits, max_loops 2 /m);
  expect(fine).toMatch(/^generated .* 100\.00 % {2}ok$/m);
  expect(fine).toContain('Verified');
  await forgeWeight(out, 'model.safetensors', 'model.embed_tokens.weight');
  const wrong = formatVerifyReport(await report({ reference }), (text, as) => `<${as}>${text}`);
  expect(wrong).toContain('<bad>DIFFERS');
  expect(wrong).toContain('<bad>Not verified.');
});

describe.each(['unrolled', 'loop'] as const)('nodes executed one by one, form %s', (form) => {
  test.each(['portable', 'ort'] as const)('dialect %s', async (dialect) => {
    await compiled('llama-relaxed', { form, dialect });
    const nodes = await report({ executor: 'nodes' });
    expect(nodes.document.ok, formatVerifyReport(nodes)).toBe(true);
    expect(nodes.executedBy).toContain('one by one');
  });
});

test('a node that does not fit what the graph declares is a finding, not a failure', async () => {
  await compiled('llama-recursive');
  forgeGraph(out, (graph) => changeAttribute(graph, 'Transpose', 'perm', { kind: 'ints', value: [0, 1, 2, 3] }));
  const { document, diagnostics } = await report({ executor: 'nodes' });
  expect(document).toEqual({ version: 1, ok: false, outputs: [] });
  expect(diagnostics).toMatchObject([{ code: 'onnx-execution' }]);
});

test('external data beyond the end of its file is a finding', async () => {
  await compiled('llama-recursive');
  forgeGraph(out, (graph) => ({
    ...graph,
    initializers: graph.initializers.map((tensor) =>
      tensor.data.kind === 'external' ? { ...tensor, data: { ...tensor.data, offset: 2 ** 30 } } : tensor,
    ),
  }));
  const { document, diagnostics } = await report({ executor: 'nodes' });
  expect(document.ok).toBe(false);
  expect(diagnostics).toMatchObject([{ code: 'onnx-execution', message: expect.stringContaining('became shorter') }]);
});

test('external data outside of the package is not read', async () => {
  await compiled('llama-recursive');
  writeFileSync(join(folder, 'secret'), readFileSync(join(out, 'model.safetensors')));
  forgeGraph(out, (graph) => ({
    ...graph,
    initializers: graph.initializers.map((tensor) =>
      tensor.data.kind === 'external' ? { ...tensor, data: { ...tensor.data, location: '../secret' } } : tensor,
    ),
  }));
  const { document, diagnostics } = await report({ executor: 'nodes' });
  expect(document.ok).toBe(false);
  expect(diagnostics).toMatchObject([{ code: 'onnx-execution', message: expect.stringContaining('leads out') }]);
});

test('a model that does not fit into memory in float64 is told before it is tried', async () => {
  const read = await readModel(modelFolder('llama-recursive'));
  if (!read.ok) return expect.fail();
  expect(tooLarge(read.value, 2 ** 30)).toBe(undefined);
  expect(tooLarge(read.value, 2 ** 20)).toMatchObject({ code: 'model-too-large' });
});

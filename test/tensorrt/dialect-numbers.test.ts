import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { Form, Precision } from '../../compiler/compile-options.ts';
import { readModel } from '../../compiler/read/read-model.ts';
import { plainCall, startRun } from '../../compiler/verify/call.ts';
import { compareTensors } from '../../compiler/verify/compare-tensors.ts';
import { formatVerifyReport } from '../../compiler/verify/format-verify-report.ts';
import { openDecoder } from '../../compiler/verify/open-decoder.ts';
import { sourceDecoders } from '../../compiler/verify/source-decoder.ts';
import { stepDecoder } from '../../compiler/verify/step-decoder.ts';
import { measureTolerance } from '../../compiler/verify/tolerance.ts';
import { loopSettings } from '../../compiler/verify/verify-against-model.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import { mainGraph, type Package, readPackage } from '../../files/package.ts';
import type { Tensor } from '../../ir/interpret/tensor.ts';
import { modelFolder } from '../package/simple-package.ts';
import { referenceModel, referenceNames } from '../support/reference-model.ts';

const forms = ['unrolled', 'depth-batched'] as const;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-tensorrt-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

async function compiled(name: string, form: Form, precision: Precision, attention: 'native' | 'parts') {
  const out = join(folder, `${name}-${form}-${precision}-${attention}`);
  const tensorrt = { attention, build: false };
  const options = { model: modelFolder(name), out, form, precision, target: 'tensorrt', tensorrt } as const;
  const result = await compile({ ...options, verifyEach: false });
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  const pack = await readPackage(out, { check: 'sizes' });
  return pack.ok ? pack.value : expect.fail(JSON.stringify(pack.diagnostics));
}

/** Logits of the reference's tokens, at once and through all loops. */
async function logitsOf({ folder: place, manifest }: Package, ids: Tensor): Promise<Tensor> {
  const { file, inputs } = mainGraph(manifest);
  const opened = await openDecoder(join(place, file), inputs, manifest, undefined);
  if (!opened.ok) expect.fail(JSON.stringify(opened.diagnostics));
  const { decoder } = opened.value;
  const steps = manifest.form === 'depth-batched';
  try {
    const run = startRun(steps ? stepDecoder(decoder, manifest) : decoder, loopSettings(manifest.recursion.loops));
    return (await run.step(promptOf(ids))).get('logits')!;
  } finally {
    await decoder.close();
  }
}

function promptOf({ shape, data }: Tensor) {
  const [rows, width] = shape as [number, number];
  return plainCall(Array.from({ length: rows }, (_, r) => [...data.subarray(r * width, (r + 1) * width)]));
}

describe.each(referenceNames)('%s', (name) => {
  test.each(forms)('%s in f32, in parts: ONNX Runtime gives the reference numbers and its tokens', async (form) => {
    const { folder: place, manifest } = await compiled(name, form, 'f32', 'parts');
    expect(manifest).toMatchObject({ target: 'tensorrt', dialect: 'tensorrt', tensorrt: { attention: 'parts' } });
    const verified = await verifyPackage(place, { reference: join(modelFolder(name), 'reference.safetensors') });
    if (!verified.ok) expect.fail(JSON.stringify(verified.diagnostics));
    const { document, executedBy } = verified.value;
    expect(document.ok, formatVerifyReport(verified.value)).toBe(true);
    expect(executedBy).toContain('ONNX Runtime');
    expect(document.outputs.map((output) => output.name)).toEqual(expect.arrayContaining(['logits', 'generated']));
    // How sure a step is of its token has no arg max, and so no agreement.
    const compared = document.outputs.filter(({ argmaxAgreement }) => argmaxAgreement !== null);
    expect(compared.map(({ name: of }) => of)).toEqual(expect.arrayContaining(['logits', 'generated']));
    for (const output of compared) expect(output.argmaxAgreement, output.name).toBe(1);
  });

  test('in f16 and bf16, with Attention and in parts: within what rounding may do to the model', async () => {
    const { reference } = await referenceModel(name);
    const model = await readModel(modelFolder(name));
    if (!model.ok) expect.fail(JSON.stringify(model.diagnostics));
    const source = sourceDecoders(model.value);
    const [ids, expected] = [reference.get('input_ids')!, reference.get('logits')!];
    for (const precision of ['f16', 'bf16'] as const) {
      let allowed: number | undefined;
      for (const form of forms) {
        // Each kind in each form and in each precision, but not all eight of them.
        const attention = (precision === 'f16') === (form === 'unrolled') ? 'native' : 'parts';
        const pack = await compiled(name, form, precision, attention);
        const runs = [{ name: 'the prompt', calls: [promptOf(ids)] }];
        allowed ??= (await measureTolerance(pack.manifest, model.value, source, runs, undefined))('logits');
        const { maxAbs, scale } = compareTensors(await logitsOf(pack, ids), expected, () => true, allowed);
        const what = `${form}, ${precision}, ${attention}`;
        expect(maxAbs / scale, what).toBeLessThanOrEqual(allowed);
        // It was computed in 16 bits: float32 is a thousand times nearer.
        expect(maxAbs / scale, what).toBeGreaterThan(precision === 'f16' ? 1e-4 : 1e-3);
      }
    }
  });
});

test.each(forms)('%s with Attention in f32 gives the reference numbers, too', async (form) => {
  for (const name of ['llama-middle-cycle', 'gemma-relaxed']) {
    const { reference } = await referenceModel(name);
    const pack = await compiled(name, form, 'f32', 'native');
    const logits = await logitsOf(pack, reference.get('input_ids')!);
    const { maxAbs, scale } = compareTensors(logits, reference.get('logits')!, () => true, 1e-4);
    expect(maxAbs / scale, name).toBeLessThan(1e-4);
  }
});

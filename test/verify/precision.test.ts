import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { formatVerifyReport } from '../../compiler/verify/format-verify-report.ts';
import { type VerifyOptions, verifyPackage } from '../../compiler/verify/verify-package.ts';
import type { VerifyReport } from '../../compiler/verify/verify-report.ts';
import { modelFolder } from '../package/simple-package.ts';
import { changeAttribute, forgeGraph, moveOffset } from './corrupt-package.ts';

// Small, and not touchy: its weights are random, but parallel residuals keep them from being multiplied.
const model = 'gpt-neox-relaxed';
const reference = join(modelFolder(model), 'reference.safetensors');

let folder: string;
let out: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
  out = join(folder, 'out');
});

afterEach(() => rmSync(folder, { recursive: true }));

async function compiled(name: string, options: Partial<CompileOptions>): Promise<void> {
  const result = await compile({ model: modelFolder(name), out, form: 'unrolled', ...options });
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
}

async function report(options: VerifyOptions): Promise<VerifyReport> {
  const result = await verifyPackage(out, options);
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  return result.value;
}

describe.each(['f16', 'bf16'] as const)('precision %s', (precision) => {
  test.each(['unrolled', 'loop'] as const)('form %s is verified with a tolerance that is measured', async (form) => {
    await compiled(model, { precision, form });
    for (const options of [{}, { reference }]) {
      const verified = await report(options);
      expect(verified.document.ok, formatVerifyReport(verified)).toBe(true);
      const { maxRel, tolerance } = verified.document.outputs[0]!;
      // Rounding shows, and what is allowed is not much more.
      expect(maxRel).toBeGreaterThan(1e-4);
      expect(tolerance).toBeGreaterThan(1e-3);
      expect(tolerance).toBeLessThan(0.12);
      expect(verified.executedBy).toContain(precision === 'bf16' ? 'cannot compute in bfloat16' : 'ONNX Runtime');
    }
  });

  test('an offset and an attribute that are not right are found all the same', async () => {
    await compiled(model, { precision });
    forgeGraph(out, (graph) => moveOffset(graph, (tensor) => tensor.includes('layers.1.mlp.dense_4h_to_h.weight')));
    expect((await report({ reference })).document.ok).toBe(false);
    await compiled(model, { precision });
    forgeGraph(out, (graph) => changeAttribute(graph, 'Softmax', 'axis', { kind: 'int', value: 1 }));
    expect((await report({ reference })).document.ok).toBe(false);
  });

  test('without the model at hand the tolerance is estimated', async () => {
    await compiled(model, { precision, writeWeights: true });
    const verified = await report({ reference: reference });
    expect(verified.document.ok, formatVerifyReport(verified)).toBe(true);
    expect(verified.document.outputs[0]!.tolerance).toBeGreaterThan(5e-3);
  });
});

test('a model that multiplies what rounding does is told', async () => {
  await compiled('llama-relaxed', { precision: 'bf16' });
  const result = await verifyPackage(out);
  expect(result).toMatchObject({ ok: true, diagnostics: [{ code: 'touchy-model', severity: 'warning' }] });
});

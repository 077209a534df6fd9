import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { formatVerifyReport } from '../../compiler/verify/format-verify-report.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import type { Dialect } from '../../targets/onnx/onnx-file.ts';
import { modelFolder } from '../package/simple-package.ts';
import { referenceNames } from '../support/reference-model.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rtc-test-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

const forms: Readonly<Record<string, Partial<CompileOptions>>> = {
  unrolled: {},
  'unrolled, exit logits, LoRA kept': { exitLogits: true, lora: 'keep' },
  'unrolled, LoRA concatenated': { lora: 'concatenate' },
  'unrolled, LoRA baked, weights written': { exitLogits: true, lora: 'bake', writeWeights: true },
  loop: { form: 'loop' },
  'loop, LoRA concatenated': { form: 'loop', lora: 'concatenate' },
  'depth-batched': { form: 'depth-batched' },
  'depth-batched, three attention groups, LoRA looked up': {
    form: 'depth-batched',
    attentionGroups: 3,
    pageSize: 16,
    lora: 'gather',
  },
};

async function compiled(name: string, options: Partial<CompileOptions>): Promise<string> {
  const out = join(folder, 'package');
  const result = await compile({ model: modelFolder(name), out, form: 'unrolled', ...options });
  if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
  return out;
}

/** Every form of every reference model agrees with its reference, and with the model in float64. */
export function testForms(dialect: Dialect): void {
  describe.each(Object.keys(forms))('%s', (form) => {
    test.each(referenceNames)('%s agrees with its reference and with the model in float64', async (name) => {
      const out = await compiled(name, { ...forms[form], dialect });
      const reference = await verifyPackage(out, { reference: join(modelFolder(name), 'reference.safetensors') });
      const model = await verifyPackage(out, { model: modelFolder(name) });
      for (const result of [reference, model]) {
        if (!result.ok) return expect.fail(JSON.stringify(result.diagnostics));
        expect(result.value.document.ok, formatVerifyReport(result.value)).toBe(true);
      }
    });
  });
}

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { formatVerifyReport } from '../../compiler/verify/format-verify-report.ts';
import { verifyPackage } from '../../compiler/verify/verify-package.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { type Generation, generate } from '../../runtime/generate.ts';
import type { GenerateOptions } from '../../runtime/generate-options.ts';
import { type LoadedPackage, loadPackage } from '../../runtime/load-package.ts';
import { modelFolder } from '../package/simple-package.ts';
import { padBatch } from '../support/loop-form.ts';
import { referenceModel, referenceNames } from '../support/reference-model.ts';
import { expectRowsAlone } from './expect-rows.ts';
import { compiled, openPackage } from './open-package.ts';

type Variant = Required<Pick<CompileOptions, 'form' | 'lora' | 'dialect'>>;

/** Every form, strategy and dialect; strategies only where there is LoRA, `auto` elsewhere. */
const packages = referenceNames.flatMap((name) => {
  const { lora } = JSON.parse(readFileSync(join(modelFolder(name), 'model.json'), 'utf8'));
  const strategies = {
    unrolled: lora ? (['bake', 'keep', 'concatenate'] as const) : (['auto'] as const),
    loop: lora ? (['keep', 'concatenate'] as const) : (['auto'] as const),
  };
  return (['unrolled', 'loop'] as const).flatMap((form) =>
    strategies[form].flatMap((strategy) =>
      (['portable', 'ort'] as const).map(
        (dialect) => [name, { form, lora: strategy, dialect }] as const satisfies readonly [string, Variant],
      ),
    ),
  );
});

test('four models have LoRA, and each is compiled in ten ways, the others in four', () => {
  expect(packages).toHaveLength(4 * 10 + 4 * 4);
});

describe.each(packages)('%s, %o', (name, variant) => {
  let folder: string;
  let reference: ReadonlyMap<string, Tensor>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rtc-reference-'));
    reference = (await referenceModel(name)).reference;
    const exitLogits = variant.form === 'unrolled';
    await compiled({ model: modelFolder(name), out: join(folder, 'package'), ...variant, exitLogits });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('logits and exit logits are within 1e-4 of the reference, and greedy tokens are its own', async () => {
    const result = await verifyPackage(join(folder, 'package'), {
      reference: join(modelFolder(name), 'reference.safetensors'),
    });
    if (!result.ok) expect.fail(JSON.stringify(result.diagnostics));
    const { document } = result.value;
    expect(document.ok, formatVerifyReport(result.value)).toBe(true);
    expect(result.diagnostics).toEqual([]);
    const exits = [...reference.keys()].flatMap((key) => /^exit_logits\.(\d+)$/.exec(key)?.[1] ?? []).sort();
    const exitOf = (n: string) => (variant.form === 'unrolled' ? `exit_logits.${n}` : `logits, max_loops ${n}`);
    expect(document.outputs.map((output) => output.name)).toEqual(['logits', ...exits.map(exitOf), 'generated']);
    for (const { name: output, maxRel, argmaxAgreement } of document.outputs) {
      expect(maxRel, output).toBeLessThanOrEqual(output === 'generated' ? 0 : 1e-4);
      expect(argmaxAgreement, output).toBe(1);
    }
  });

  test('prompts of different lengths, padded on either side, have the logits of the reference', async () => {
    const ids = reference.get('input_ids')!;
    const [rows, width] = ids.shape as [number, number];
    const logits = reference.get('logits')!;
    const vocabulary = logits.shape[2]!;
    const lengths = Array.from({ length: rows + 2 }, (_, r) => [width, width - 5, 1, 3][r % 4]!);
    const row = (r: number) => ids.data.subarray((r % rows) * width, ((r % rows) + 1) * width);
    // What stands behind a token has no say in its logits, so a prompt's beginning has those of the whole.
    const expected = lengths.map((length, r) => {
      const start = (r % rows) * width * vocabulary;
      return new Map([
        [
          'logits',
          makeTensor('f32', [1, length, vocabulary], logits.data.subarray(start, start + length * vocabulary)),
        ],
      ]);
    });
    const tokens = lengths.map((length, r) => Array.from(row(r).subarray(0, length)));
    const pack = await openPackage(join(folder, 'package'));
    try {
      for (const padding of ['left', 'right'] as const) {
        const leave = { maxLoops: pack.manifest.recursion.loops, threshold: 1 };
        const batch = padBatch(pack, { tokens, padding }, leave);
        const counterpart = [{ output: 'logits', expected: 'logits' }];
        const how = { tolerance: 1e-4, what: `padded ${padding}` };
        expectRowsAlone(await pack.run(batch.inputs), batch, expected, counterpart, how);
      }
    } finally {
      await pack.close();
    }
  });

  test('rtc run generates exactly what transformers does, in a batch of different lengths too', async () => {
    const prompts = rowsOf(reference.get('input_ids')!);
    const generated = rowsOf(reference.get('generated')!);
    const loaded = await loadPackage(join(folder, 'package'), { threads: 1 });
    if (!loaded.ok) expect.fail(JSON.stringify(loaded.diagnostics));
    try {
      const greedy = { maxNewTokens: generated[0]!.length, ignoreEos: true, exitThreshold: 1 };
      expect(await tokensOf(loaded.value, prompts, greedy)).toEqual(generated);
      // A prompt that already has some of the answer goes on with the rest of it.
      const heads = generated.map((_, i) => 2 + 5 * i);
      const longer = prompts.map((prompt, i) => [...prompt, ...generated[i]!.slice(0, heads[i])]);
      const rest = generated.map((tokens, i) => tokens.slice(heads[i], heads[i]! + 5));
      for (const padding of ['left', 'right'] as const) {
        expect(await tokensOf(loaded.value, longer, { ...greedy, maxNewTokens: 5, padding })).toEqual(rest);
      }
    } finally {
      await loaded.value.close();
    }
  });
});

function rowsOf({ shape, data }: Tensor): readonly (readonly number[])[] {
  const [rows, width] = shape as [number, number];
  return Array.from({ length: rows }, (_, r) => Array.from(data.subarray(r * width, (r + 1) * width)));
}

async function tokensOf(
  loaded: LoadedPackage,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<readonly (readonly number[])[]> {
  const stream = generate(loaded, prompts, options);
  if (!stream.ok) expect.fail(JSON.stringify(stream.diagnostics));
  let next: IteratorResult<unknown, Generation>;
  do next = await stream.value.next();
  while (!next.done);
  return next.value.sequences.map(({ tokens }) => tokens);
}

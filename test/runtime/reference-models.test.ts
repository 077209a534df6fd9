import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import type { CompileOptions } from '../../compiler/compile-options.ts';
import { readTensorSync } from '../../files/read-tensor.ts';
import { readSafetensors } from '../../files/safetensors.ts';
import { type Generation, generate } from '../../runtime/generate.ts';
import type { GenerateOptions } from '../../runtime/generate-options.ts';
import { type LoadedPackage, loadPackage } from '../../runtime/load-package.ts';

const models = fileURLToPath(new URL('../models/', import.meta.url));
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-runtime-'));
});
afterAll(() => rm(scratch, { recursive: true }));

/** The package of a reference model, loaded. */
async function load(name: string, options: Omit<CompileOptions, 'model' | 'out'>): Promise<LoadedPackage> {
  const out = join(scratch, [name, ...Object.values(options)].join('-'));
  const compiled = await compile({ model: join(models, name), out, ...options });
  if (!compiled.ok) throw new Error(compiled.diagnostics.map((d) => d.message).join('\n'));
  const loaded = await loadPackage(out, { threads: 1 });
  if (!loaded.ok) throw new Error(loaded.diagnostics.map((d) => d.message).join('\n'));
  return loaded.value;
}

async function run(
  loaded: LoadedPackage,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Generation> {
  const stream = generate(loaded, prompts, options);
  if (!stream.ok) throw new Error(stream.diagnostics.map((d) => d.message).join('\n'));
  while (true) {
    const next = await stream.value.next();
    if (next.done) return next.value;
  }
}

/** Rows of an i64 tensor of a model's reference.safetensors. */
async function referenceRows(name: string, tensor: string): Promise<readonly (readonly number[])[]> {
  const path = join(models, name, 'reference.safetensors');
  const file = await readSafetensors(path, { path: 'reference.safetensors', shown: path });
  if (!file.ok) throw new Error('no reference');
  const entry = file.value.tensors.get(tensor)!;
  const bytes = readTensorSync(path, entry);
  const numbers = Array.from(new BigInt64Array(bytes.slice().buffer), Number);
  const [rows, width] = entry.shape as [number, number];
  return Array.from({ length: rows }, (_, row) => numbers.slice(row * width, (row + 1) * width));
}

const names = [
  'gemma-relaxed',
  'gpt-neox-relaxed',
  'kjv-relaxed',
  'kjv-teacher',
  'llama-middle-cycle',
  'llama-recursive',
  'llama-relaxed',
  'qwen3-recursive',
];

describe.each(['unrolled', 'loop'] as const)('form %s', (form) => {
  test.each(
    names,
  )("%s continues as transformers does, and so do its prompts' beginnings in one batch", async (name) => {
    const loaded = await load(name, { form });
    const prompts = await referenceRows(name, 'input_ids');
    const expected = await referenceRows(name, 'generated');
    const greedy = { maxNewTokens: expected[0]!.length, ignoreEos: true, exitThreshold: 1 };
    const whole = await run(loaded, prompts, greedy);
    expect(whole.sequences.map(({ tokens }) => tokens)).toEqual(expected);
    const { loops } = loaded.manifest.recursion;
    expect(new Set(whole.sequences.flatMap(({ exits }) => exits))).toEqual(new Set([loops]));
    expect(whole).toMatchObject({ steps: expected[0]!.length, rows: expected[0]!.length * prompts.length });

    // A prompt that already holds some of the answer goes on with the rest of it.
    const longer = prompts.map((prompt, i) => [...prompt, ...expected[i]!.slice(0, 3 + 4 * i)]);
    for (const padding of ['left', 'right'] as const) {
      const rest = await run(loaded, longer, { ...greedy, maxNewTokens: 8, padding });
      expect(rest.sequences.map(({ tokens }) => tokens)).toEqual(
        expected.map((tokens, i) => tokens.slice(3 + 4 * i, 11 + 4 * i)),
      );
    }
    await loaded.close();
  });
});

describe('early exits', () => {
  test('a sequence leaves at the same loops alone and in a batch, and some do leave early', async () => {
    const loaded = await load('kjv-relaxed', { form: 'loop' });
    const prompts = ['And God said unto', 'In the', 'Blessed are the meek: for'].map((text) =>
      loaded.tokenizer!.encode(text),
    );
    const options = { maxNewTokens: 16, exitThreshold: 0.3 };
    const batch = await run(loaded, prompts, options);
    for (const [i, prompt] of prompts.entries()) {
      expect((await run(loaded, [prompt], options)).sequences[0]).toEqual(batch.sequences[i]);
    }
    const exits = batch.sequences.flatMap((sequence) => sequence.exits);
    expect(new Set(exits).size).toBe(3);
    expect(batch.sequences.every((sequence) => sequence.exits[0] === 3)).toBe(true);
    await loaded.close();
  });

  test('exitAt takes every new token out at its loop', async () => {
    const loaded = await load('llama-recursive', { form: 'loop' });
    const { sequences } = await run(loaded, [[5, 6, 7]], { maxNewTokens: 5, exitAt: 2, ignoreEos: true });
    expect(sequences[0]?.exits).toEqual([3, 2, 2, 2, 2]);
    await loaded.close();
  });
});

test('an f16 package keeps its cache in f16, alone and when rows leave', async () => {
  const loaded = await load('kjv-relaxed', { form: 'unrolled', precision: 'f16' });
  expect(loaded.session?.inputs.find(({ name }) => name === 'past_key_values.0.key')?.type).toBe('f16');
  const prompts = await referenceRows('kjv-relaxed', 'input_ids');
  const expected = await referenceRows('kjv-relaxed', 'generated');
  const { sequences } = await run(loaded, prompts, { maxNewTokens: 12, ignoreEos: true });
  // Half precision may turn a close call, but not every one.
  const same = sequences.flatMap(({ tokens }, i) => tokens.map((token, t) => token === expected[i]![t]));
  expect(same.filter(Boolean).length).toBeGreaterThan(same.length * 0.7);
  const end = sequences[0]!.tokens[2]!;
  const stopping = await run({ ...loaded, endTokens: [end] }, prompts, { maxNewTokens: 12 });
  expect(stopping.sequences[0]?.tokens.at(-1)).toBe(end);
  await loaded.close();
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../compiler/compile.ts';
import { formatInspection } from '../../compiler/inspect/format-inspection.ts';
import { inspect } from '../../compiler/inspect/inspect.ts';
import type { Inspection } from '../../compiler/inspect/inspection.ts';

const models = fileURLToPath(new URL('../models/', import.meta.url));
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rtc-inspect-'));
});
afterAll(() => rm(scratch, { recursive: true }));

async function inspected<K extends Inspection['kind']>(
  path: string,
  kind: K,
): Promise<Extract<Inspection, { kind: K }>> {
  const result = await inspect(path);
  if (!result.ok) throw new Error(result.diagnostics.map((d) => d.message).join('\n'));
  expect(result.value.kind).toBe(kind);
  return result.value as Extract<Inspection, { kind: K }>;
}

const text = (inspection: Inspection) => formatInspection(inspection, (line) => line);

describe('a model', () => {
  test.each([
    ['kjv-relaxed', { prelude: 0, block: 2, loops: 3, coda: 0 }],
    ['llama-middle-cycle', { prelude: 1, block: 2, loops: 3, coda: 1 }],
    ['gemma-relaxed', { prelude: 0, block: 2, loops: 2, coda: 0 }],
  ])('%s: the loop in the graph is the one of model.json, found without it', async (name, recursion) => {
    const model = await inspected(join(models, name), 'model');
    expect(model.recursion).toEqual(recursion);
    expect(model.loop).toMatchObject({ found: true, ...recursion });
  });

  test('an ordinary model has no loop, and the reason is said', async () => {
    const model = await inspected(join(models, 'kjv-teacher'), 'model');
    expect(model.loop.found).toBe(false);
    expect(text(model)).toMatch(/^Loop found in the graph\n {2}none {2}\w/m);
  });

  test('sizes add up to the tensors of the file, and unrolled sizes to what the loops would store', async () => {
    const model = await inspected(join(models, 'kjv-relaxed', 'model.json'), 'model');
    const sum = (of: 'stored' | 'unrolled') => Object.values(model.sizes).reduce((total, size) => total + size[of], 0);
    // bf16 throughout: two bytes a parameter.
    expect(sum('stored')).toBe(2 * model.parameters.stored);
    expect(sum('unrolled')).toBe(2 * model.parameters.unrolled);
    expect(model.types).toEqual([{ type: 'bf16', bytes: sum('stored') }]);
    expect(model.sizes.block!.unrolled).toBe(3 * model.sizes.block!.stored);
    const [file] = model.files;
    const header = Number((await readFile(join(models, 'kjv-relaxed', file!.path))).readBigUInt64LE());
    expect(sum('stored')).toBe(file!.bytes - 8 - header);
  });

  test('ranks are told by depth', async () => {
    const model = await inspected(join(models, 'gpt-neox-relaxed'), 'model');
    expect(model.lora?.ranks).toEqual([[2], [4], [8]]);
    expect(text(model)).toContain('rank 2, 4, 8 by depth');
  });

  test('inputs and outputs are those of the contract, gathered', async () => {
    const lines = text(await inspected(join(models, 'llama-recursive'), 'model'));
    expect(lines).toContain('  past_key_values.{0…5}.key|value  f32  [batch, 2, past, 16]\n');
    expect(lines).toContain('  present.{0…5}.key|value  f32  [batch, 2, past+sequence, 16]\n');
  });

  test('a model that cannot be read is not inspected', async () => {
    await writeFile(join(scratch, 'model.json'), '{');
    expect(await inspect(join(scratch, 'model.json'))).toMatchObject({
      ok: false,
      diagnostics: [{ code: 'invalid-json' }],
    });
  });
});

describe('a package', () => {
  test.each(['unrolled', 'loop'] as const)('form %s: what rtc.json says, and what is in its graph', async (form) => {
    const out = join(scratch, form);
    const compiled = await compile({ model: join(models, 'llama-recursive'), form, out });
    if (!compiled.ok) throw new Error('not compiled');
    for (const path of [out, join(out, 'rtc.json')]) {
      const { manifest, graph } = await inspected(path, 'package');
      expect(manifest).toMatchObject({ form, recursion: { block: 2, loops: 3 } });
      expect(graph.opsets).toContainEqual({ domain: '', version: 21 });
      expect(graph.inputs.map(({ name }) => name)).toEqual(
        manifest.graphs['model.onnx']!.inputs.map(({ name }) => name),
      );
      const [weights] = graph.initializers.external;
      expect(weights).toMatchObject({ location: 'model.safetensors' });
      expect(weights!.fileBytes).toBe(manifest.files['model.safetensors']!.size);
    }
    const lines = text(await inspected(out, 'package'));
    expect(lines).toContain(`form       ${form} for onnx, portable dialect`);
    expect(lines).toContain('model.safetensors');
  });

  test('each weight of the block is used once a loop in the form unrolled, and is one initializer', async () => {
    const { graph } = await inspected(join(scratch, 'unrolled'), 'package');
    const projections = graph.initializers.shared.filter(({ name }) => name.includes('_proj'));
    expect(projections).toHaveLength(2 * 7);
    expect(new Set(projections.map(({ uses }) => uses))).toEqual(new Set([3]));
  });

  test('passes of a second graph are listed apart', async () => {
    const out = join(scratch, 'two-graphs');
    const compiled = await compile({ model: join(models, 'kjv-relaxed'), form: 'depth-batched', out });
    if (!compiled.ok) throw new Error(compiled.diagnostics.map((d) => d.message).join('\n'));
    const shown = text(await inspected(out, 'package'));
    expect(shown).toMatch(/^ {2}passes +fold-loop, depth-batch, /m);
    expect(shown).toMatch(/^ {4}of propagate +propagate-exits, /m);
    expect(shown).not.toContain('propagate-propagate-exits');
  });

  test('a package that lost its graph is a problem', async () => {
    await rm(join(scratch, 'loop', 'model.onnx'));
    expect(await inspect(join(scratch, 'loop'))).toMatchObject({ ok: false, diagnostics: [{ code: 'missing-file' }] });
  });
});

describe('a graph as text', () => {
  const save = async (name: string, content: string) => {
    await writeFile(join(scratch, name), content);
    return join(scratch, name);
  };

  test('that is wrong is refused with line and column', async () => {
    const result = await inspect(await save('bad.rtc', 'graph "x" (%a: f32[2]) {\n  %b = nothing(%a)\n}'));
    expect(result.ok).toBe(false);
    expect(result.diagnostics[0]).toMatchObject({ code: 'invalid-rtc', location: { line: 2 } });
  });

  test('that a pass dumped is verified and counted', async () => {
    const stopped = await compile({ model: join(models, 'llama-recursive'), stopAfter: 'fold-loop' });
    if (!stopped.ok || stopped.value.stopped === undefined) throw new Error('no graph');
    const found = await inspected(await save('folded.rtc', stopped.value.stopped), 'rtc');
    expect(found.stage).toBe('folded');
    expect(found.operations).toContainEqual({ operator: 'loop', count: 1 });
    expect(text(found)).toContain('folded graph, valid');
  });

  test('that does not verify is refused with every problem', async () => {
    const stopped = await compile({ model: join(models, 'llama-recursive'), stopAfter: 'fold-loop' });
    if (!stopped.ok || stopped.value.stopped === undefined) throw new Error('no graph');
    const broken = stopped.value.stopped.replaceAll('input_ids: i64', 'input_ids: i32');
    const result = await inspect(await save('broken.rtc', broken));
    expect(result.ok ? [] : result.diagnostics.map((d) => d.code)).toContain('invalid-graph');
  });
});

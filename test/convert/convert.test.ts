import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ModelType } from '../../compiler/architectures/decoder-spec.ts';
import { roundTo } from '../../ir/rounding.ts';
import { filesBelow } from '../e2e/files-below.ts';
import { makeTinyModel, type TinyModelOptions, writeJson } from '../support/tiny-model.ts';
import { converted, exactParts } from './convert-parts.ts';
import { floatsOf, withFactors } from './read-floats.ts';
import { logitsOf } from './score-windows.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rtc-convert-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

let made = 0;
/** An ordinary tiny model of six layers, and where to put what becomes of it. */
function teacher(options: Partial<TinyModelOptions> = {}) {
  const folder = join(scratch, `case-${made++}`);
  const model = join(folder, 'teacher');
  makeTinyModel(model, { block: 6, loops: 1, ...options });
  return { model, out: join(folder, 'recursive') };
}

const json = (folder: string, file: string): unknown => JSON.parse(readFileSync(join(folder, file), 'utf8'));

describe('what is written', () => {
  test('means in float64, rounded once; embeddings and norms; a model.json; tokenizers beside it', async () => {
    const { model, out } = teacher({ dtype: 'bf16', tied: true });
    writeFileSync(join(model, 'tokenizer.json'), '{"model": {}}');
    const { files, parameters } = await converted({ model, out, loops: 2 });
    expect(files.map(({ path }) => path)).toEqual(['config.json', 'model.json', 'model.safetensors', 'tokenizer.json']);
    expect(readdirSync(out).sort()).toEqual(files.map(({ path }) => path));
    expect(json(out, 'model.json')).toEqual({
      format: 'rtc-model',
      version: 1,
      config: 'config.json',
      weights: ['model.safetensors'],
      recursion: { prelude: 0, block: 3, loops: 2, coda: 0 },
    });
    expect(json(out, 'config.json')).toEqual({ ...(json(model, 'config.json') as object), num_hidden_layers: 3 });
    const [before, after] = [await floatsOf(model), await floatsOf(out)];
    let elements = 0;
    for (const [name, { dtype, values }] of after) {
      expect(dtype).toBe('bf16');
      const layer = /layers\.(\d)\./.exec(name)?.[1];
      if (layer === undefined) {
        expect(values).toEqual(before.get(name)!.values);
        continue;
      }
      elements += values.length;
      const other = before.get(name.replace(`layers.${layer}.`, `layers.${Number(layer) + 3}.`))!.values;
      const mean = before.get(name)!.values.map((x, i) => roundTo('bf16', (x + other[i]!) / 2));
      expect(values, name).toEqual(mean);
    }
    expect(after.size).toBe(2 + 3 * 9);
    expect(parameters).toEqual({
      originalLayers: 2 * elements,
      storedLayers: elements,
      lora: 0,
      convertedLayers: elements,
      other: 64 * 32 + 32,
    });
  });

  test('three means are sums in float64 too: float32 would end elsewhere', async () => {
    const { model, out } = teacher({ seed: 3 });
    await converted({ model, out, loops: 3, init: 'average' });
    const [before, after] = [await floatsOf(model), await floatsOf(out)];
    const name = 'model.layers.1.mlp.down_proj.weight';
    const [x, y, z] = [1, 3, 5].map((layer) => before.get(name.replace('.1.', `.${layer}.`))!.values);
    expect(after.get(name)!.values).toEqual(x!.map((_, i) => Math.fround((x![i]! + y![i]! + z![i]!) / 3)));
  });

  test.each(['stepwise', 'lower', 'upper', [3, 3, 1]] as const)('%s: copies, byte for byte', async (from) => {
    const { model, out } = teacher({ dtype: 'f16' });
    await converted({ model, out, loops: 2, ...(typeof from === 'string' ? { init: from } : { layers: from }) });
    const origins = { stepwise: [0, 2, 5], lower: [0, 1, 2], upper: [3, 4, 5] };
    const [before, after] = [await floatsOf(model), await floatsOf(out)];
    const chosen = typeof from === 'string' ? origins[from] : from;
    for (const [name, tensor] of after) {
      const old = name.replace(/layers\.(\d)\./, (_, layer) => `layers.${chosen[Number(layer)]}.`);
      expect(tensor, name).toEqual(before.get(old));
    }
  });

  test('factors: B = UΣ and A = Vᵀ of what sharing lost, after rounding; each depth of each layer', async () => {
    const { model, out } = teacher({ dtype: 'bf16' });
    const result = await converted({ model, out, loops: 2, lora: { rank: 5 } });
    expect(json(out, 'model.json')).toMatchObject({
      lora: {
        targets: ['q', 'k', 'v', 'o']
          .map((x) => `self_attn.${x}_proj`)
          .concat(['gate', 'up', 'down'].map((x) => `mlp.${x}_proj`)),
      },
    });
    const [before, after] = [await floatsOf(model), await floatsOf(out)];
    let [lost, whole] = [0, 0];
    for (const matrix of result.matrices) {
      const { layer, stored, depth, module, rank, rows, cols } = matrix;
      expect([stored, depth, rank]).toEqual([layer % 3, Math.floor(layer / 3), 5]);
      const path = `model.layers.${stored}.${module}`;
      const a = after.get(`${path}.lora_A.depth_${depth}.weight`)!;
      const b = after.get(`${path}.lora_B.depth_${depth}.weight`)!;
      expect([a.dtype, b.dtype, a.shape, b.shape]).toEqual(['bf16', 'bf16', [5, cols], [rows, 5]]);
      // Rows of A have length 1, columns of B that of the singular value, as far as bf16 goes.
      for (let k = 0; k < 5; k++) {
        const length = (values: Float64Array, from: number, step: number, count: number) =>
          Math.hypot(...Array.from({ length: count }, (_, i) => values[from + i * step]!));
        expect(length(a.values, k * cols, 1, cols)).toBeCloseTo(1, 1.9);
        expect(length(b.values, k, 5, rows) / matrix.singular[k]!).toBeCloseTo(1, 1.9);
      }
      const original = before.get(`model.layers.${layer}.${module}.weight`)!.values;
      const now = withFactors(after, path, depth!);
      const square = original.reduce((sum, x, i) => sum + (x - now[i]!) ** 2, 0);
      expect(matrix.lost / square).toBeCloseTo(1, 5);
      // No more is lost than what the values that were cut off hold, and what bf16 does to those that stay.
      const kept = matrix.singular.subarray(0, 5).reduce((sum, s) => sum + s * s, 0);
      expect(square).toBeGreaterThan(matrix.residual - kept);
      expect(square).toBeLessThan(matrix.residual - kept + 1e-4 * kept);
      lost += square;
      whole += original.reduce((sum, x) => sum + x * x, 0);
    }
    expect(result.relativeLoss).toBeCloseTo(Math.sqrt(lost / whole), 6);
    expect(result.matrices).toHaveLength(6 * 7);
  });

  test('where sharing lost nothing, factors change nothing, and can be trained', async () => {
    const { model, out } = teacher();
    const { matrices } = await converted({ model, out, loops: 2, init: 'lower', lora: { rank: 2 } });
    const after = await floatsOf(out);
    const name = 'model.layers.1.mlp.up_proj.lora_';
    expect(matrices.find(({ layer, module }) => layer === 1 && module === 'mlp.up_proj')).toMatchObject({
      residual: 0,
      lost: 0,
      rank: 2,
    });
    expect(after.get(`${name}B.depth_0.weight`)!.values.every((x) => x === 0)).toBe(true);
    expect(new Set(after.get(`${name}A.depth_0.weight`)!.values).size).toBe(2 * 32);
    expect(after.get(`${name}B.depth_1.weight`)!.values.some((x) => x !== 0)).toBe(true);
  });

  test('--lora-init zero: all factors change nothing, A is within 1 / √in and no two are alike', async () => {
    const { model, out } = teacher();
    const { relativeLoss } = await converted({ model, out, loops: 2, lora: { rank: 3 }, loraInit: 'zero' });
    const plain = teacher();
    expect(relativeLoss).toBe((await converted({ ...plain, loops: 2 })).relativeLoss);
    const factors = [...(await floatsOf(out))].filter(([name]) => name.includes('lora_'));
    const as = factors.filter(([name]) => name.includes('lora_A'));
    for (const [name, { values }] of factors)
      if (name.includes('lora_B')) expect(values.every((x) => x === 0)).toBe(true);
    for (const [, { values, shape }] of as) {
      const bound = 1 / Math.sqrt(shape[1]!);
      expect(values.every((x) => Math.abs(x) <= bound)).toBe(true);
      expect(Math.max(...values)).toBeGreaterThan(0.8 * bound);
      expect(Math.min(...values)).toBeLessThan(-0.8 * bound);
    }
    expect(new Set(as.map(([, { values }]) => values.join())).size).toBe(6 * 7);
  });

  test('another type, on request, and the config says so', async () => {
    const { model, out } = teacher({ dtype: 'f32' });
    await converted({ model, out, loops: 2, lora: { rank: 1 }, dtype: 'bf16' });
    for (const { dtype } of (await floatsOf(out)).values()) expect(dtype).toBe('bf16');
    expect(json(out, 'config.json')).toMatchObject({ dtype: 'bfloat16', num_hidden_layers: 3 });
  });

  test('shards with an index when one file would be too large, and the same numbers', async () => {
    const { model, out } = teacher({ shards: 3, modelJson: false });
    const whole = teacher();
    const options = { loops: 2, lora: { rank: 2 } };
    const { files } = await converted({ model, out, ...options, shardBytes: 30_000 });
    await converted({ ...whole, ...options });
    const shards = files.filter(({ path }) => path.endsWith('.safetensors'));
    expect(shards.length).toBeGreaterThan(2);
    expect(shards[0]!.path).toBe(`model-00001-of-0000${shards.length}.safetensors`);
    const tensors = await floatsOf(out);
    expect(tensors).toEqual(await floatsOf(whole.out));
    const { metadata, weight_map } = json(out, 'model.safetensors.index.json') as {
      readonly metadata: { readonly total_size: number };
      readonly weight_map: Record<string, string>;
    };
    expect(Object.keys(weight_map).sort()).toEqual([...tensors.keys()].sort());
    expect(metadata.total_size).toBe([...tensors.values()].reduce((sum, { values }) => sum + 4 * values.length, 0));
    expect(shards.every(({ bytes }) => bytes < 35_000)).toBe(true);
  });

  test('the same again is the same to the byte, and nothing else is left', async () => {
    const { model, out } = teacher({ dtype: 'bf16' });
    const other = join(out, '..', 'again');
    const options = { model, loops: 3, init: 'average', lora: { rank: 4 } } as const;
    await converted({ ...options, out });
    await converted({ ...options, out: other });
    expect(filesBelow(out)).toEqual(filesBelow(other));
    expect(readdirSync(join(out, '..')).sort()).toEqual(['again', 'recursive', 'teacher']);
  });
});

describe('ranks', () => {
  test('by selector, the last that fits; capped at the sizes of the matrix', async () => {
    const { model, out } = teacher();
    const rank = {
      '*': 2,
      mlp: 4,
      down_proj: 100,
      'self_attn.k_proj': 0,
      depth_1: 3,
      'depth_1/q_proj': 5,
      'depth_0/q_proj': 0,
    };
    const { matrices } = await converted({ model, out, loops: 2, lora: { rank } });
    const ranks = (layer: number) =>
      Object.fromEntries(matrices.flatMap((m) => (m.layer === layer ? [[m.module.split('.')[1], m.rank]] : [])));
    expect(ranks(1)).toEqual({ q_proj: 0, k_proj: 0, v_proj: 2, o_proj: 2, gate_proj: 4, up_proj: 4, down_proj: 32 });
    expect(ranks(4)).toEqual({ q_proj: 5, k_proj: 3, v_proj: 3, o_proj: 3, gate_proj: 3, up_proj: 3, down_proj: 3 });
    const names = [...(await floatsOf(out)).keys()].filter((name) => name.includes('lora_'));
    expect(names).toHaveLength(2 * matrices.filter((m) => m.rank > 0).length);
    expect(names).not.toContain('model.layers.0.self_attn.q_proj.lora_A.depth_0.weight');
  });

  test('layers that stay their own have none, and lose nothing', async () => {
    const { model, out } = teacher();
    const { matrices } = await converted({ model, out, loops: 2, sharing: 'middle-cycle', lora: { rank: 2 } });
    for (const { layer, rank, lost, depth } of matrices) {
      const own = layer === 0 || layer === 5;
      expect([rank, depth === undefined, lost === 0]).toEqual(own ? [0, true, true] : [2, false, false]);
    }
    expect(json(out, 'model.json')).toMatchObject({ recursion: { prelude: 1, block: 2, loops: 2, coda: 1 } });
  });

  test.each([
    'bf16',
    'f32',
  ] as const)('for a budget of %s: what is allotted is kept, of factors that were computed once', async (dtype) => {
    const { model, out } = teacher({ dtype });
    let asked: number | undefined;
    const allotRanks = exactParts({
      allotRanks: (candidates, parameters) => {
        asked = parameters;
        expect(candidates).toHaveLength(6 * 7);
        // All that can be known of a small matrix is.
        for (const { rows, cols, singular } of candidates) expect(singular).toHaveLength(Math.min(rows, cols));
        return new Map(candidates.map(({ key }, i) => [key, i % 3]));
      },
    });
    const { matrices, parameters } = await converted({ model, out, loops: 2, lora: { parameters: 0.8 } }, allotRanks);
    expect(asked).toBe(Math.floor(0.8 * parameters.originalLayers) - parameters.storedLayers);
    const [before, after] = [await floatsOf(model), await floatsOf(out)];
    expect(new Set(matrices.map(({ rank }) => rank))).toEqual(new Set([0, 1, 2]));
    for (const { layer, stored, depth, module, rank, lost, residual, singular } of matrices) {
      const path = `model.layers.${stored}.${module}`;
      expect(after.get(`${path}.lora_A.depth_${depth}.weight`)?.shape[0] ?? 0).toBe(rank);
      const now = withFactors(after, path, depth!);
      const square = before
        .get(`model.layers.${layer}.${module}.weight`)!
        .values.reduce((sum, x, i) => sum + (x - now[i]!) ** 2, 0);
      expect(lost / square).toBeCloseTo(1, 5);
      // The best of that rank: what singular values that were cut off hold, and little for rounding.
      const kept = singular.subarray(0, rank).reduce((sum, s) => sum + s * s, 0);
      expect(lost).toBeLessThan(residual - kept + 1e-4 * kept + 1e-9);
    }
    expect(parameters.lora).toBe(matrices.reduce((sum, { rank, rows, cols }) => sum + rank * (rows + cols), 0));
  });
});

describe('what a layer is stays with it', () => {
  const windows = { modelType: 'qwen2', slidingWindow: 4 } as const;

  test('layer_types of the stored layers are those of the layers that they stand for', async () => {
    const { model, out } = teacher({ ...windows, windowed: [true, false] });
    await converted({ model, out, loops: 3 });
    expect(json(out, 'config.json')).toMatchObject({
      layer_types: ['sliding_attention', 'full_attention'],
      num_hidden_layers: 2,
    });
  });

  test('max_window_layers counts stored layers', async () => {
    const { model, out } = teacher({ ...windows, windowed: [true] });
    const { layer_types: _, ...config } = json(model, 'config.json') as Record<string, unknown>;
    writeJson(join(model, 'config.json'), { ...config, max_window_layers: 5 });
    await converted({ model, out, loops: 2, sharing: 'middle-cycle' });
    expect(json(out, 'config.json')).toMatchObject({ max_window_layers: 3, num_hidden_layers: 4 });
  });
});

const tokens = [
  [1, 5, 9, 33, 60, 2, 17, 40],
  [3, 3, 7, 12, 50, 61, 4, 4],
];

describe.each<ModelType>(['llama', 'mistral', 'qwen2', 'qwen3', 'gemma', 'gpt_neox'])('%s', (modelType) => {
  test('full rank brings every matrix back', async () => {
    const { model, out } = teacher({
      modelType,
      kvHeads: modelType === 'gpt_neox' ? 4 : 2,
      tied: modelType === 'gemma',
    });
    const { matrices, relativeLoss } = await converted({ model, out, loops: 2, lora: { rank: 1000 } });
    const [before, after] = [await floatsOf(model), await floatsOf(out)];
    for (const { layer, stored, depth, module } of matrices) {
      const original = before.get(`${layerPrefix(modelType)}.${layer}.${module}.weight`)!.values;
      const now = withFactors(after, `${layerPrefix(modelType)}.${stored}.${module}`, depth!);
      const largest = Math.max(...original.map(Math.abs));
      expect(Math.max(...original.map((x, i) => Math.abs(x - now[i]!)))).toBeLessThan(3e-6 * largest);
    }
    expect(relativeLoss).toBeLessThan(1e-6);
  });
});

function layerPrefix(modelType: ModelType): string {
  return modelType === 'gpt_neox' ? 'gpt_neox.layers' : 'model.layers';
}
void logitsOf;
void tokens;

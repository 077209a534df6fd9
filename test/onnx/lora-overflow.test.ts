import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { graphBuilder } from '../../ir/builder.ts';
import type { Graph } from '../../ir/graph.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { literal, type WeightExpr } from '../../ir/weights.ts';
import { flattenRows } from '../../passes/flatten-rows.ts';
import { mergeLora } from '../../passes/merge-lora.ts';
import { type Precision, setPrecision } from '../../passes/set-precision.ts';
import { takeApart } from '../../passes/take-apart.ts';
import { createOnnxExecutor } from '../../targets/onnx/execute/onnx-executor.ts';
import { lowerToOnnx } from '../../targets/onnx/lower.ts';
import { loadOnnx } from './run-onnx.ts';

const width = 4;
const context = { note: () => {} };
const constant = (dims: readonly [number, number], value: number): WeightExpr =>
  literal('f32', dims, new Array(dims[0] * dims[1]).fill(value));

/** An update that is moderate at depth 0, and at depth 1 too large for f16 on what rows at depth 0 have. */
function graphOf(scales: readonly number[]): Graph<'folded'> {
  const b = graphBuilder('lora');
  const x = b.input('x', tensor('f32', ['rows', 1, width]));
  const depth = b.input('depth', tensor('i64', ['rows']));
  for (const name of ['q', 'k']) {
    const base = b.add('linear', [x, b.weight(name, constant([3, width], 0.25))], {}, name);
    const down = b.weight(`${name}.a`, {
      kind: 'stack',
      of: [constant([2, width], 0.001), constant([1, width], 100)],
    });
    const up = b.weight(`${name}.b`, { kind: 'stack', of: [constant([3, 2], 1), constant([3, 1], 1)] });
    const update = b.add('low_rank_by_depth', [x, down, up, b.constant('f32', [...scales]), depth], {});
    b.output(name, b.add('add', [base, update], {}));
  }
  return b.finish('folded');
}

const rows = new Map<string, Tensor>([
  // 4 · 1000 · 100 is far above 65504; 4 · 1 · 100 is not.
  ['x', makeTensor('f32', [2, 1, width], [...new Array(width).fill(1000), ...new Array(width).fill(1)])],
  ['depth', makeTensor('i64', [2], [0, 1])],
]);

function lowered(graph: Graph<'folded'>, strategy: 'keep' | 'concatenate' | 'gather', compute: Precision) {
  const merged = mergeLora({ strategy, compute }).run(graph, context);
  const typed = setPrecision({ compute }).run(merged, context);
  return flattenRows.run(takeApart(new Set()).run(typed, context), context);
}

const readExternal = (folder: string) => async (location: string, offset: number, length: number) =>
  (await readFile(join(folder, location))).subarray(offset, offset + length);

test.each([
  ['keep', 'f16', [1, 1]],
  ['keep', 'f16', [0.5, 3]],
  ['concatenate', 'f16', [1, 1]],
  ['concatenate', 'f16', [0.5, 3]],
  ['concatenate', 'f32', [0.5, 3]],
  ['gather', 'f16', [0.5, 3]],
] as const)('%s in %s: what would overflow at another depth is not looked at, scales %j', async (strategy, compute, scales) => {
  const graph = lowered(graphOf(scales), strategy, compute);
  const file = lowerToOnnx(graph, { dialect: 'portable', fileName: 'm.onnx', version: '0', metadata: {} });
  const onnx = await loadOnnx(file, '.');
  try {
    // ONNX Runtime's CPU provider computes neighbours in f32; node by node, everything is rounded to f16.
    const feeds = new Map(graph.inputs.map(({ name, type }) => [name, { ...rows.get(name)!, dtype: type.dtype }]));
    const executor = createOnnxExecutor(file.bytes, readExternal(onnx.folder));
    if (!executor.ok) return expect.fail(JSON.stringify(executor.diagnostics));
    const byNodes = await executor.value.run(feeds);
    if (!byNodes.ok) return expect.fail(JSON.stringify(byNodes.diagnostics));
    for (const outputs of [byNodes.value, await onnx.run(feeds)]) {
      for (const name of ['q', 'k']) {
        // 4 · 0.25 · x, and the rank times 4 · a · x times the scale.
        const first = 1000 + 2 * 4 * scales[0];
        const second = 1 + 400 * scales[1];
        const found = [...outputs.get(name)!.data];
        for (const [i, value] of found.entries()) expect(value / (i < 3 ? first : second)).toBeCloseTo(1, 2);
      }
    }
  } finally {
    await onnx.close();
  }
});

test('in f32 it is one product, as before', () => {
  const kinds = (compute: Precision) =>
    mergeLora({ strategy: 'concatenate', compute })
      .run(graphOf([0.5, 3]), context)
      .ops.map(({ kind }) => kind);
  expect(kinds('f32')).not.toContain('where');
  expect(kinds('bf16')).toEqual(kinds('f32'));
  expect(
    mergeLora({ strategy: 'concatenate' })
      .run(graphOf([0.5, 3]), context)
      .ops.map(({ kind }) => kind),
  ).toEqual(kinds('f32'));
  expect(kinds('f16')).toContain('where');
});

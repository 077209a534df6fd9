import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { graphBuilder } from '../../ir/builder.ts';
import type { Graph, Stage, Value } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { concat, slice } from '../../ir/interpret/movement.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { literal, type WeightExpr } from '../../ir/weights.ts';
import { cse } from '../../passes/cse.ts';
import { flattenRows } from '../../passes/flatten-rows.ts';
import { foldConstants } from '../../passes/fold-constants.ts';
import { fuseAddLinear } from '../../passes/fuse-add-linear.ts';
import { mergeLora } from '../../passes/merge-lora.ts';
import { removeDeadCode } from '../../passes/remove-dead-code.ts';
import { takeApart } from '../../passes/take-apart.ts';
import { lowerToOnnx } from '../../targets/onnx/lower.ts';
import { expectClose } from '../support/expect-close.ts';
import { randomTensor } from '../support/random-tensors.ts';
import { type LoadedOnnx, loadOnnx } from './run-onnx.ts';

const width = 16;
/** Ranks at three depths of two modules that share their input. */
const modules = { q: { out: 12, ranks: [2, 3, 0] }, k: { out: 5, ranks: [1, 0, 4] } } as const;
const scales = [0.5, 3, 1];

function weight(seed: string, rows: number, columns: number): WeightExpr {
  return literal('f32', [rows, columns], [...randomTensor('f32', [rows, columns], seed).data]);
}

/** Two modules with updates of the row's depth, on x [rows, tokens, 16]. */
function graphOfModules(): Graph<'folded'> {
  const b = graphBuilder('lora');
  const x = b.input('x', tensor('f32', ['rows', 'tokens', width]));
  const depth = b.input('depth', tensor('i64', ['rows']));
  const scale = b.constant('f32', scales);
  for (const [name, { out, ranks }] of Object.entries(modules)) {
    const base = b.add('linear', [x, b.weight(name, weight(name, out, width))], {}, name);
    const stack = (factor: string, part: (rank: number, seed: string) => WeightExpr): Value =>
      b.weight(`${name}.${factor}`, {
        kind: 'stack',
        of: ranks.map((rank, d) => part(rank, `${name}.${factor}.${d}`)),
      });
    const down = stack('a', (rank, seed) => weight(seed, rank, width));
    const up = stack('b', (rank, seed) => weight(seed, out, rank));
    b.output(name, b.add('add', [base, b.add('low_rank_by_depth', [x, down, up, scale, depth], {})], {}));
  }
  return b.finish('folded');
}

describe.each(['keep', 'concatenate', 'gather'] as const)('LoRA by depth, %s, in ONNX Runtime', (strategy) => {
  const graph = graphOfModules();
  const context = { note: () => {} };
  let lowered: Graph<'lowered'>;
  let onnx: LoadedOnnx;
  beforeAll(async () => {
    const clean = <S extends Stage>(g: Graph<S>) =>
      removeDeadCode.run(cse.run(foldConstants.run(g, context), context), context);
    const apart = takeApart(new Set()).run(mergeLora({ strategy }).run(graph, context), context);
    lowered = clean(fuseAddLinear.run(removeDeadCode.run(flattenRows.run(apart, context), context), context));
    const file = lowerToOnnx(lowered, { dialect: 'portable', fileName: 'm.onnx', version: '0', metadata: {} });
    expect(file.generated, 'weights that are written').toEqual([]);
    onnx = await loadOnnx(file, '.');
  });
  afterAll(() => onnx.close());

  const run = async (depths: readonly number[], x: Tensor): Promise<ReadonlyMap<string, Tensor>> => {
    const inputs = new Map([
      ['x', x],
      ['depth', makeTensor('i64', [depths.length], depths)],
    ]);
    const expected = await interpret(graph, inputs, { readWeight: () => expect.fail() });
    const found = await onnx.run(inputs);
    for (const name of Object.keys(modules)) expectClose(found.get(name)!, expected.get(name)!, 1e-5, name);
    return found;
  };

  test.each([
    ['one row', [2], 1],
    ['rows of several tokens', [1, 0, 2, 1], 3],
    ['no rows', [], 2],
  ] as const)('%s', async (_, depths, tokens) => {
    await run(depths, randomTensor('f32', [depths.length, tokens, width], 'x'));
  });

  test('a row gives the same bits whatever stands beside it', async () => {
    const depths = [0, 1, 2, 2, 1, 0, 0, 2, 1];
    const x = randomTensor('f32', [depths.length, 1, width], 'x');
    const row = (of: Tensor, i: number) => slice(of, 0, i, 1);
    const together = await run(depths, x);
    const reversed = depths.map((_, i) => depths.length - 1 - i);
    const backwards = await run(
      reversed.map((i) => depths[i]!),
      concat(
        reversed.map((i) => row(x, i)),
        0,
      ),
    );
    for (const [i, depth] of depths.entries()) {
      const alone = await run([depth], row(x, i));
      for (const name of Object.keys(modules)) {
        const bits = `${row(together.get(name)!, i).data}`;
        expect(`${alone.get(name)!.data}`, `${name} of row ${i} alone`).toBe(bits);
        expect(`${row(backwards.get(name)!, reversed.indexOf(i)).data}`, `${name} of row ${i} backwards`).toBe(bits);
      }
    }
  });

  test('nothing that stacking filled up is multiplied, but for factors that are looked up', () => {
    const kinds = lowered.ops.map(({ kind }) => kind);
    const factors = lowered.ops.flatMap(({ kind, operands }) => (kind === 'linear' ? [operands[1]!.type.dims] : []));
    const base = [
      [12, 16],
      [5, 16],
    ];
    const ups = [
      [12, 5],
      [5, 5],
    ];
    const expected = {
      keep: [...base, [5, 16], [5, 16], ...ups],
      concatenate: [...base, [10, 16], ...ups],
      gather: base,
    };
    const sorted = (list: readonly unknown[]) => list.map(String).sort();
    expect(sorted(factors)).toEqual(sorted(expected[strategy]));
    expect(kinds.includes('matmul'), 'products row by row').toBe(strategy === 'gather');
    // Of base and update, one is what the other's product adds to.
    expect(kinds).not.toContain('add');
  });
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { graphBuilder } from '../../ir/builder.ts';
import { addDims, type Dim, multiplyDims } from '../../ir/dims.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import { interpret } from '../../ir/interpret/interpret.ts';
import { concat, slice } from '../../ir/interpret/movement.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import type { OpKind } from '../../ir/op-table.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { cse } from '../../passes/cse.ts';
import { takeApart } from '../../passes/take-apart.ts';
import { dialects } from '../../targets/onnx/dialects.ts';
import { lowerToOnnx } from '../../targets/onnx/lower.ts';
import { expectClose } from '../support/expect-close.ts';
import { randomTensor } from '../support/random-tensors.ts';
import { type LoadedOnnx, loadOnnx } from './run-onnx.ts';

const [heads, kvHeads, size, width, out] = [4, 2, 16, 8, 6];
const pageCount = 40;

/** One row of a batch: how long its past is, what its pages are, and what its new tokens bring. */
interface Row {
  readonly past: number;
  readonly pages: readonly number[];
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Rows with a past of each length, each with pages of its own. */
function rowsOf(pasts: readonly number[], tokens: number): readonly Row[] {
  let free = 1;
  return pasts.map((past, i) => {
    const pages = Array.from({ length: Math.ceil(past / size) }, () => free++);
    expect(free, 'pages of a test').toBeLessThanOrEqual(pageCount);
    const draw = (name: string, count: number, last: number) =>
      randomTensor('f32', [1, count, tokens, last], `${name} ${i}`);
    return { past, pages, q: draw('q', heads, width), k: draw('k', kvHeads, width), v: draw('v', kvHeads, out) };
  });
}

/** What one attention says about all rows, in as many groups as `groups` has, each as wide as it says. */
function inputsOf(groups: readonly (readonly Row[])[], widths: readonly number[], tokens: number) {
  const rows = groups.flat();
  const join = (of: (row: Row) => Tensor, empty: readonly number[]) =>
    rows.length > 0 ? concat(rows.map(of), 0) : makeTensor('f32', empty);
  const inputs = new Map<string, Tensor>([
    ['q', join(({ q }) => q, [0, heads, tokens, width])],
    ['k', join(({ k }) => k, [0, kvHeads, tokens, width])],
    ['v', join(({ v }) => v, [0, kvHeads, tokens, out])],
    ['key_pages', pagesOf('key', width)],
    ['value_pages', pagesOf('value', out)],
  ]);
  groups.forEach((group, g) => {
    const pages = widths[g]!;
    const table = group.flatMap((row) => Array.from({ length: pages }, (_, i) => row.pages[i] ?? 0));
    inputs.set(`page_table.${g}`, makeTensor('i64', [group.length, pages], table));
    const mask = group.flatMap(({ past }) =>
      Array.from({ length: tokens }, (_, token) =>
        Array.from({ length: size * pages + tokens }, (_, place) =>
          Number(place < size * pages ? place < past : place - size * pages <= token),
        ),
      ).flat(),
    );
    inputs.set(`mask.${g}`, makeTensor('bool', [group.length, 1, tokens, size * pages + tokens], mask));
  });
  return inputs;
}

/** Page 0 is zero, for padding; places that nobody uses hold something all the same. */
function pagesOf(seed: string, last: number): Tensor {
  const used = randomTensor('f32', [pageCount - 1, kvHeads, size, last], seed);
  return concat([makeTensor('f32', [1, kvHeads, size, last]), used], 0);
}

function graphOf(groups: number): Graph<'folded'> {
  const b = graphBuilder('paged');
  const rowDims: readonly Dim[] = Array.from({ length: groups }, (_, g) => `rows_${g}`);
  const rows = addDims(...rowDims);
  const f32 = (name: string, dims: readonly Dim[]) => b.input(name, tensor('f32', dims));
  const q = f32('q', [rows, heads, 'tokens', width]);
  const k = f32('k', [rows, kvHeads, 'tokens', width]);
  const v = f32('v', [rows, kvHeads, 'tokens', out]);
  const keyPages = f32('key_pages', ['page_count', kvHeads, size, width]);
  const valuePages = f32('value_pages', ['page_count', kvHeads, size, out]);
  const tables = rowDims.flatMap((rowCount, g): readonly Value[] => {
    const total = addDims(multiplyDims(size, `pages_${g}`), 'tokens');
    return [
      b.input(`page_table.${g}`, tensor('i64', [rowCount, `pages_${g}`])),
      b.input(`mask.${g}`, tensor('bool', [rowCount, 1, 'tokens', total])),
    ];
  });
  b.output('y', b.add('paged_attention', [q, k, v, keyPages, valuePages, ...tables], { scale: 0.25 }));
  return b.finish('folded');
}

describe.each([
  { groupCount: 1, keeps: [] },
  { groupCount: 2, keeps: [] },
  { groupCount: 1, keeps: ['rotary_lookup'] },
  { groupCount: 1, keeps: ['attention'] },
  { groupCount: 2, keeps: ['attention'] },
] as const)('attention over pages in $groupCount groups, whole: $keeps, in ONNX Runtime', ({ groupCount, keeps }) => {
  const graph = graphOf(groupCount);
  const kept = new Set<OpKind>(keeps);
  let onnx: LoadedOnnx;
  beforeAll(async () => {
    const context = { note: () => {} };
    const lowered = cse.run(takeApart(new Set(keeps)).run(graph, context), context);
    const spec = kept.has('attention')
      ? { ...dialects.tensorrt, opset: 23, irVersion: 11, keeps: kept }
      : dialects.portable;
    onnx = await loadOnnx(
      lowerToOnnx(lowered, { dialect: 'portable', spec, fileName: 'model.onnx', version: '0', metadata: {} }),
      '.',
    );
  });
  afterAll(() => onnx.close());

  /** The batch cut into groups; the last group is as wide as it has to be, or wider. */
  const run = async (rows: readonly Row[], tokens: number, wider = 0): Promise<Tensor> => {
    const cut = groupCount === 1 ? rows.length : Math.ceil(rows.length / 2);
    const groups = groupCount === 1 ? [rows] : [rows.slice(0, cut), rows.slice(cut)];
    // Attention of ONNX Runtime refuses to attend in no rows, which profiles for engines never have.
    if (groups.some((group) => group.length === 0) && kept.has('attention')) {
      await expect(
        onnx.run(
          inputsOf(
            groups,
            groups.map(() => 1),
            tokens,
          ),
        ),
      ).rejects.toThrow('batch_size > 0');
      return makeTensor('f32', [0]);
    }
    const widths = groups.map((group) => Math.max(0, ...group.map(({ pages }) => pages.length)) + wider);
    const inputs = inputsOf(groups, widths, tokens);
    const found = (await onnx.run(inputs)).get('y')!;
    const expected = (await interpret(graph, inputs, { readWeight: () => expect.fail() })).get('y')!;
    expectClose(found, expected, 1e-5, `${rows.length} rows of ${tokens} tokens`);
    return found;
  };

  test.each([
    ['one row', [20], 1],
    ['rows of several tokens', [20, 0, 33], 3],
    ['no past at all', [0, 0], 2],
    ['one group or all without rows', [20], 2],
    ['no rows', [], 1],
  ] as const)('%s', async (_, pasts, tokens) => {
    await run(rowsOf(pasts, tokens), tokens);
  });

  test('a row of one token gives the same bits whatever stands beside it', async () => {
    const rows = rowsOf([3, 40, 64, 1, 100, 33, 16, 0], 1);
    const together = await run(rows, 1);
    const differing: string[] = [];
    const compare = (found: Tensor, at: number, row: number, what: string): void => {
      const same = (x: Tensor, i: number) => slice(x, 0, i, 1).data;
      if (`${same(found, at)}` !== `${same(together, row)}`) differing.push(`row ${row} ${what}`);
    };
    for (const [i, row] of rows.entries()) {
      if (groupCount === 1 || !kept.has('attention')) compare(await run([row], 1), 0, i, 'alone');
    }
    const backwards = await run([...rows].reverse(), 1);
    const few = await run(rows.slice(2, 5), 1);
    const padded = await run(rows, 1, 3);
    rows.forEach((_, i) => {
      compare(backwards, rows.length - 1 - i, i, 'the other way round');
      compare(padded, i, i, 'with longer tables');
      if (i >= 2 && i < 5) compare(few, i - 2, i, 'with fewer others');
    });
    expect(differing).toEqual([]);
  });
});

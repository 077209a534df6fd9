import { expect, test } from 'vitest';
import type { Dim } from '../../ir/dims.ts';
import type { DType } from '../../ir/dtype.ts';
import { type OpKind, type OpSpec, opTable } from '../../ir/op-table.ts';
import { formatType, type TensorType, tensor } from '../../ir/tensor-type.ts';

const f32 = (...dims: readonly Dim[]): TensorType => tensor('f32', dims);
const i64 = (...dims: readonly Dim[]): TensorType => tensor('i64', dims);
const bool = (...dims: readonly Dim[]): TensorType => tensor('bool', dims);
const as = (dtype: DType, { dims }: TensorType): TensorType => tensor(dtype, dims);

/** Types of the results, or what does not fit; `changed` replaces operands by their place. */
function infer(kind: OpKind, operands: readonly TensorType[], changed: Readonly<Record<number, TensorType>> = {}) {
  const spec: OpSpec = opTable[kind];
  const types = spec.infer(
    operands.map((type, i) => changed[i] ?? type),
    {},
  );
  return typeof types === 'string' ? types : types.map(formatType).join(', ');
}

const paged = [
  f32('a+b', 4, 't', 8),
  f32('a+b', 2, 't', 8),
  f32('a+b', 2, 't', 6),
  f32('count', 2, 16, 8),
  f32('count', 2, 16, 6),
  ...[i64('a', 'p'), bool('a', 1, 't', '16*p+t')],
  ...[i64('b', 0), bool('b', 1, 't', 't')],
];

test.each([
  ['fits', {}, 'f32[a+b,4,t,6]'],
  ['a type', { 3: as('f16', paged[3]!) }, 'mixes element types'],
  ['keys of another width', { 1: f32('a+b', 2, 't', 7) }, 'attends from f32[a+b,4,t,8] to f32[a+b,2,t,7]'],
  ['pages of another width', { 3: f32('count', 2, 16, 7) }, 'behind pages f32[count,2,16,7]'],
  [
    'pages of values of another size',
    { 4: f32('count', 2, 8, 6) },
    'but values f32[a+b,2,t,6] behind f32[count,2,8,6]',
  ],
  ['heads', { 0: f32('a+b', 3, 't', 8) }, 'has 3 query heads for 2 KV heads'],
  ['a table', { 5: as('f32', paged[5]!) }, 'finds pages in f32[a,p]'],
  [
    'a mask of another width',
    { 6: bool('a', 1, 't', '16*p') },
    'is masked by bool[a,1,t,16*p] where its pages are i64[a,p]',
  ],
  ['rows', { 7: i64('c', 0), 8: bool('c', 1, 't', 't') }, 'has a+b rows in groups of a+c'],
] as const)('paged_attention: %s', (_, changed, expected) => {
  expect(infer('paged_attention', paged, changed)).toContain(expected);
});

test('paged_attention needs groups of two operands', () => {
  expect(infer('paged_attention', paged.slice(0, 8))).toBe('needs a page table and a mask for each group of rows');
  expect(infer('paged_attention', paged.slice(0, 5))).toBe('needs a page table and a mask for each group of rows');
});

const update = [f32('rows', 't', 8), f32(3, 2, 8), f32(3, 5, 2), f32(3), i64('rows')];

test.each([
  ['fits', {}, 'f32[rows,t,5]'],
  ['rows alone', { 0: f32('rows', 8) }, 'f32[rows,5]'],
  ['a type', { 3: as('f16', update[3]!) }, 'mixes element types'],
  ['ranks', { 2: f32(3, 5, 4) }, 'applies f32[3] · f32[3,5,4] · f32[3,2,8] to f32[rows,t,8]'],
  ['depths', { 3: f32(2) }, 'applies f32[2] · f32[3,5,2]'],
  ['factors of one depth', { 1: f32(2, 8) }, 'needs two factors and a number for each depth'],
  ['depths of other rows', { 4: i64('t') }, 'finds the depths of f32[rows,t,8] in i64[t]'],
] as const)('low_rank_by_depth: %s', (_, changed, expected) => {
  expect(infer('low_rank_by_depth', update, changed)).toContain(expected);
});

test.each([
  ['put_rows', [f32('n', 4), i64('m'), f32('m', 4)], 'f32[n,4]'],
  ['put_rows', [f32('n', 4), i64('m'), f32('m', 3)], 'puts f32[m,3] in the places i64[m] of f32[n,4]'],
  ['put_rows', [f32('n', 4), i64('m', 1), f32('m', 4)], 'which is not i64 with one axis'],
  ['put_rows', [f32('n', 4), i64('m'), tensor('f16', ['m', 4])], 'puts f16[m,4]'],
  ['arg_max', [f32('n', 4)], 'i64[n]'],
  ['arg_max', [i64('n', 4)], 'finds the largest of i64[n,4]'],
  ['arg_max', [f32()], 'finds the largest of f32[]'],
] as const)('%s %j', (kind, operands, expected) => {
  expect(infer(kind, operands)).toContain(expected);
});

import { at, f32, from, i64, type KernelCases, random, sum } from './kernel-case.ts';

const a = random([2, 1, 3, 5], 'a');
const b = random([4, 5, 7], 'b');
const x = random([2, 3, 5], 'x');
const weight = random([9, 5], 'weight');
const bias = random([9], 'bias');
const down = random([2, 5], 'down');
const up = random([9, 2], 'up');

const bias9 = random([4, 9], 'rows');
const downs = random([3, 2, 5], 'downs');
const ups = random([3, 9, 2], 'ups');
const scales = f32([3], [0.5, -1, 3]);
const byDepth = (d: number, of: (k: number) => number, o: number) =>
  [0.5, -1, 3][d]! * sum(2, (r) => at(ups, d, o, r) * sum(5, (k) => at(downs, d, r, k) * of(k)));

export const productCases: KernelCases<'matmul' | 'linear' | 'low_rank' | 'low_rank_by_depth'> = {
  matmul: [
    {
      title: 'leading axes broadcast',
      operands: [a, b],
      attrs: {},
      expected: [from([2, 4, 3, 7], (i, j, m, n) => sum(5, (k) => at(a, i, 0, m, k) * at(b, j, k, n)))],
    },
    {
      title: 'over nothing',
      operands: [f32([2, 0], []), f32([0, 3], [])],
      attrs: {},
      expected: [f32([2, 3], [0, 0, 0, 0, 0, 0])],
    },
  ],
  linear: [
    {
      operands: [x, weight],
      attrs: {},
      expected: [from([2, 3, 9], (i, j, o) => sum(5, (k) => at(x, i, j, k) * at(weight, o, k)))],
    },
    {
      title: 'with bias',
      operands: [x, weight, bias],
      attrs: {},
      expected: [from([2, 3, 9], (i, j, o) => sum(5, (k) => at(x, i, j, k) * at(weight, o, k)) + at(bias, o))],
    },
    {
      title: 'one row',
      operands: [random([5], 'v'), weight],
      attrs: {},
      expected: [from([9], (o) => sum(5, (k) => at(random([5], 'v'), k) * at(weight, o, k)))],
    },
  ],
  low_rank: [
    {
      operands: [x, down, up, f32([], [0.5])],
      attrs: {},
      expected: [
        from(
          [2, 3, 9],
          (i, j, o) => 0.5 * sum(2, (r) => at(up, o, r) * sum(5, (k) => at(down, r, k) * at(x, i, j, k))),
        ),
      ],
    },
    {
      title: 'rank 0',
      operands: [x, f32([0, 5], []), f32([9, 0], []), f32([], [0.5])],
      attrs: {},
      expected: [from([2, 3, 9], () => 0)],
    },
  ],
  low_rank_by_depth: [
    {
      title: 'the factors are those of the depth of the row',
      operands: [x, downs, ups, scales, i64([2], [2, 0])],
      attrs: {},
      expected: [from([2, 3, 9], (i, j, o) => byDepth([2, 0][i]!, (k) => at(x, i, j, k), o))],
    },
    {
      title: 'rows of one token each',
      operands: [bias9, random([3, 2, 9], 'wide'), random([3, 1, 2], 'one'), scales, i64([4], [1, 1, 2, 0])],
      attrs: {},
      expected: [
        from([4, 1], (i) => {
          const d = [1, 1, 2, 0][i]!;
          const inner = (r: number) => sum(9, (k) => at(random([3, 2, 9], 'wide'), d, r, k) * at(bias9, i, k));
          return [0.5, -1, 3][d]! * sum(2, (r) => at(random([3, 1, 2], 'one'), d, 0, r) * inner(r));
        }),
      ],
    },
    {
      title: 'no rows',
      operands: [f32([0, 3, 5], []), downs, ups, scales, i64([0], [])],
      attrs: {},
      expected: [f32([0, 3, 9], [])],
    },
    {
      title: 'rank 0',
      operands: [x, f32([1, 0, 5], []), f32([1, 9, 0], []), f32([1], [2]), i64([2], [0, 0])],
      attrs: {},
      expected: [from([2, 3, 9], () => 0)],
    },
  ],
};

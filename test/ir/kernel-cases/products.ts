import { at, f32, from, type KernelCases, random, sum } from './kernel-case.ts';

const a = random([2, 1, 3, 5], 'a');
const b = random([4, 5, 7], 'b');
const x = random([2, 3, 5], 'x');
const weight = random([9, 5], 'weight');
const bias = random([9], 'bias');
const down = random([2, 5], 'down');
const up = random([9, 2], 'up');

export const productCases: KernelCases<'matmul' | 'linear' | 'low_rank'> = {
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
};

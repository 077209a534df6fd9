import { at, f32, from, i64, type KernelCases, random, sum } from './kernel-case.ts';

const x = random([2, 3, 4], 'x');
const inf = Number.POSITIVE_INFINITY;

export const alongAxisCases: KernelCases<
  'reduce_sum' | 'reduce_mean' | 'reduce_max' | 'cumsum' | 'softmax' | 'top_k' | 'arg_max'
> = {
  reduce_sum: [
    {
      operands: [x],
      attrs: { axis: 1, keep: true },
      expected: [from([2, 1, 4], (i, _, k) => sum(3, (j) => at(x, i, j, k)))],
    },
    {
      title: 'the axis goes',
      operands: [i64([2, 2], [1, 2, 3, 4])],
      attrs: { axis: 1, keep: false },
      expected: [i64([2], [3, 7])],
    },
    {
      title: 'of nothing',
      operands: [f32([2, 0], [])],
      attrs: { axis: 1, keep: false },
      expected: [f32([2], [0, 0])],
    },
  ],
  reduce_mean: [
    {
      operands: [x],
      attrs: { axis: 2, keep: false },
      expected: [from([2, 3], (i, j) => sum(4, (k) => at(x, i, j, k)) / 4)],
    },
    {
      title: 'integers lose the fraction',
      operands: [i64([2], [2, 5])],
      attrs: { axis: 0, keep: false },
      expected: [i64([], [3])],
    },
  ],
  reduce_max: [
    {
      operands: [f32([2, 3], [1, -5, 3, -2, -1, -inf])],
      attrs: { axis: 1, keep: true },
      expected: [f32([2, 1], [3, -1])],
    },
  ],
  cumsum: [
    { operands: [i64([2, 3], [1, 0, 1, 1, 1, 0])], attrs: { axis: 1 }, expected: [i64([2, 3], [1, 1, 2, 1, 2, 2])] },
    {
      title: 'along an outer axis',
      operands: [x],
      attrs: { axis: 0 },
      expected: [from([2, 3, 4], (i, j, k) => sum(i + 1, (n) => at(x, n, j, k)))],
    },
  ],
  softmax: [
    {
      operands: [x],
      attrs: { axis: 1 },
      expected: [from([2, 3, 4], (i, j, k) => Math.exp(at(x, i, j, k)) / sum(3, (n) => Math.exp(at(x, i, n, k))))],
    },
    {
      title: 'large numbers do not overflow',
      operands: [f32([3], [1000, 1000, -inf])],
      attrs: { axis: 0 },
      expected: [f32([3], [0.5, 0.5, 0])],
    },
  ],
  top_k: [
    {
      title: 'the lower index wins a tie',
      operands: [f32([2, 4], [1, 3, 3, 2, -1, -2, -inf, -1])],
      attrs: { k: 3 },
      expected: [f32([2, 3], [3, 3, 2, -1, -1, -2]), i64([2, 3], [1, 2, 3, 0, 3, 1])],
    },
  ],
  arg_max: [
    {
      title: 'the lowest index wins a tie',
      operands: [f32([3, 4], [1, 3, 3, 2, -1, -2, -inf, -1, -inf, -inf, -inf, -inf])],
      attrs: {},
      expected: [i64([3], [1, 0, 0])],
    },
    { title: 'of one axis', operands: [f32([3], [1, 2, 5])], attrs: {}, expected: [i64([], [2])] },
    { title: 'no rows', operands: [f32([0, 4], [])], attrs: {}, expected: [i64([0], [])] },
  ],
};

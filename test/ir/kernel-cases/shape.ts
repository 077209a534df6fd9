import { at, f32, from, i64, type KernelCases, random } from './kernel-case.ts';

const x = random([2, 3, 4], 'x');
const y1 = random([1, 3, 4], 'y1');
const y = random([2, 1, 4], 'y');

export const shapeCases: KernelCases<
  | 'constant'
  | 'size'
  | 'iota'
  | 'reshape'
  | 'expand'
  | 'transpose'
  | 'concat'
  | 'stack'
  | 'slice'
  | 'split'
  | 'select'
  | 'gather'
  | 'put_rows'
> = {
  constant: [
    {
      operands: [],
      attrs: { dtype: 'i64', dims: [2, 2], values: [1, 2, 3, 4] },
      expected: [i64([2, 2], [1, 2, 3, 4])],
    },
    {
      title: 'of nothing',
      operands: [],
      attrs: { dtype: 'f32', dims: [0, 4], values: [] },
      expected: [f32([0, 4], [])],
    },
  ],
  size: [{ operands: [x], attrs: { of: 'rows*rows+3' }, sizes: { rows: 2 }, expected: [i64([], [7])] }],
  iota: [{ operands: [x], attrs: { size: 'rows+2' }, sizes: { rows: 2 }, expected: [i64([4], [0, 1, 2, 3])] }],
  reshape: [
    {
      operands: [x],
      attrs: { dims: [6, 'width'] },
      sizes: { width: 4 },
      expected: [from([6, 4], (i, j) => at(x, Math.floor(i / 3), i % 3, j))],
    },
    { title: 'to no axes', operands: [f32([1, 1], [5])], attrs: { dims: [] }, expected: [f32([], [5])] },
  ],
  expand: [
    { operands: [y], attrs: { dims: [3, 2, 5, 4] }, expected: [from([3, 2, 5, 4], (_, i, __, k) => at(y, i, 0, k))] },
    { title: 'from no axes', operands: [f32([], [5])], attrs: { dims: [2, 2] }, expected: [f32([2, 2], [5, 5, 5, 5])] },
    { title: 'to nothing', operands: [y], attrs: { dims: [2, 0, 4] }, expected: [f32([2, 0, 4], [])] },
  ],
  transpose: [
    { operands: [x], attrs: { perm: [2, 0, 1] }, expected: [from([4, 2, 3], (k, i, j) => at(x, i, j, k))] },
    { title: 'no axes', operands: [f32([], [5])], attrs: { perm: [] }, expected: [f32([], [5])] },
  ],
  concat: [
    {
      operands: [y, x, y],
      attrs: { axis: 1 },
      expected: [from([2, 5, 4], (i, j, k) => (j === 0 || j === 4 ? at(y, i, 0, k) : at(x, i, j - 1, k)))],
    },
    { title: 'an empty cache', operands: [f32([2, 0, 4], []), y], attrs: { axis: 1 }, expected: [y] },
  ],
  stack: [
    {
      operands: [i64([2], [1, 2]), i64([2], [3, 4]), i64([2], [5, 6])],
      attrs: {},
      expected: [i64([3, 2], [1, 2, 3, 4, 5, 6])],
    },
  ],
  slice: [
    {
      operands: [x],
      attrs: { axis: 1, start: 1, end: 'n' },
      sizes: { n: 3 },
      expected: [from([2, 2, 4], (i, j, k) => at(x, i, j + 1, k))],
    },
    { title: 'nothing', operands: [x], attrs: { axis: 2, start: 4, end: 4 }, expected: [f32([2, 3, 0], [])] },
  ],
  split: [
    {
      operands: [x],
      attrs: { axis: 1, sizes: [1, 0, 2] },
      expected: [
        from([2, 1, 4], (i, _, k) => at(x, i, 0, k)),
        f32([2, 0, 4], []),
        from([2, 2, 4], (i, j, k) => at(x, i, j + 1, k)),
      ],
    },
    {
      title: 'by name',
      operands: [x],
      attrs: { axis: 2, sizes: [1, 'n-1'] },
      sizes: { n: 4 },
      expected: [from([2, 3, 1], (i, j) => at(x, i, j, 0)), from([2, 3, 3], (i, j, k) => at(x, i, j, k + 1))],
    },
  ],
  select: [{ operands: [x], attrs: { axis: 1, index: 2 }, expected: [from([2, 4], (i, k) => at(x, i, 2, k))] }],
  gather: [
    {
      operands: [x, i64([2, 2], [2, 0, 1, 1])],
      attrs: { axis: 1 },
      expected: [from([2, 2, 2, 4], (i, m, n, k) => at(x, i, [2, 0, 1, 1][2 * m + n]!, k))],
    },
    {
      title: 'a single entry',
      operands: [x, i64([], [1])],
      attrs: { axis: 0 },
      expected: [from([3, 4], (j, k) => at(x, 1, j, k))],
    },
  ],
  put_rows: [
    {
      operands: [random([3, 2], 'kept'), i64([2], [2, 0]), f32([2, 2], [5, 6, 7, 8])],
      attrs: {},
      expected: [from([3, 2], (i, j) => (i === 1 ? at(random([3, 2], 'kept'), 1, j) : i === 2 ? 5 + j : 7 + j))],
    },
    {
      title: 'no entries',
      operands: [i64([2], [3, 4]), i64([0], []), i64([0], [])],
      attrs: {},
      expected: [i64([2], [3, 4])],
    },
    {
      title: 'of three axes',
      operands: [x, i64([1], [1]), y1],
      attrs: {},
      expected: [from([2, 3, 4], (i, j, k) => (i === 1 ? at(y1, 0, j, k) : at(x, 0, j, k)))],
    },
  ],
};

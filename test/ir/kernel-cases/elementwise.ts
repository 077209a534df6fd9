import { makeTensor } from '../../../ir/interpret/tensor.ts';
import { at, bool, f32, from, i64, type KernelCases, random } from './kernel-case.ts';

const nan = Number.NaN;
const inf = Number.POSITIVE_INFINITY;
const a = random([2, 3], 'a');
const b = random([2, 3], 'b');
const row = random([3], 'row');
const column = random([2, 1], 'column');

export const elementwiseCases: KernelCases<
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'max'
  | 'min'
  | 'neg'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'reciprocal'
  | 'cos'
  | 'sin'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'relu'
  | 'silu'
  | 'gelu'
  | 'cast'
  | 'equal'
  | 'less'
  | 'less_equal'
  | 'and'
  | 'or'
  | 'not'
  | 'where'
> = {
  add: [
    { operands: [a, b], attrs: {}, expected: [from([2, 3], (i, j) => at(a, i, j) + at(b, i, j))] },
    {
      title: 'rows and columns',
      operands: [column, row],
      attrs: {},
      expected: [from([2, 3], (i, j) => at(column, i, 0) + at(row, j))],
    },
    { title: 'a number', operands: [f32([], [2]), row], attrs: {}, expected: [from([3], (j) => 2 + at(row, j))] },
    { title: 'nothing', operands: [f32([0, 3], []), row], attrs: {}, expected: [f32([0, 3], [])] },
  ],
  sub: [{ operands: [a, row], attrs: {}, expected: [from([2, 3], (i, j) => at(a, i, j) - at(row, j))] }],
  mul: [
    { operands: [row, a], attrs: {}, expected: [from([2, 3], (i, j) => at(a, i, j) * at(row, j))] },
    {
      title: 'three axes against two in the middle',
      operands: [random([2, 1, 3], 'x'), random([4, 1], 'y')],
      attrs: {},
      expected: [from([2, 4, 3], (i, j, k) => at(random([2, 1, 3], 'x'), i, 0, k) * at(random([4, 1], 'y'), j, 0))],
    },
  ],
  div: [
    {
      operands: [f32([4], [1, -1, 0, 3]), f32([4], [0, 0, 0, -2])],
      attrs: {},
      expected: [f32([4], [inf, -inf, nan, -1.5])],
    },
    {
      title: 'integers lose the fraction',
      operands: [i64([4], [7, -7, 7, -7]), i64([4], [2, 2, -2, -2])],
      attrs: {},
      expected: [i64([4], [3, -3, -3, 3])],
    },
  ],
  max: [
    {
      operands: [f32([4], [1, -2, nan, 0]), f32([4], [0, -1, 1, inf])],
      attrs: {},
      expected: [f32([4], [1, -1, nan, inf])],
    },
  ],
  min: [{ operands: [i64([3], [1, -2, 3]), i64([], [0])], attrs: {}, expected: [i64([3], [0, -2, 0])] }],
  neg: [{ operands: [f32([3], [1, -2.5, 0])], attrs: {}, expected: [f32([3], [-1, 2.5, 0])] }],
  exp: [
    { operands: [f32([4], [0, 0.5, -inf, inf])], attrs: {}, expected: [f32([4], [1, 1.6487212707001282, 0, inf])] },
  ],
  log: [{ operands: [f32([4], [1, 3, 0, -1])], attrs: {}, expected: [f32([4], [0, 1.0986122886681098, -inf, nan])] }],
  sqrt: [{ operands: [f32([4], [0, 3, 9, -1])], attrs: {}, expected: [f32([4], [0, 1.7320508075688772, 3, nan])] }],
  reciprocal: [{ operands: [f32([4], [2, -4, 0, inf])], attrs: {}, expected: [f32([4], [0.5, -0.25, inf, 0])] }],
  cos: [
    { operands: [f32([3], [0, 1, -2])], attrs: {}, expected: [f32([3], [1, 0.5403023058681398, -0.4161468365471424])] },
  ],
  sin: [
    { operands: [f32([3], [0, 1, -2])], attrs: {}, expected: [f32([3], [0, 0.8414709848078965, -0.9092974268256817])] },
  ],
  tanh: [
    {
      operands: [f32([4], [0, 0.75, -3, inf])],
      attrs: {},
      expected: [f32([4], [0, 0.6351489523872873, -0.9950547536867305, 1])],
    },
  ],
  sigmoid: [
    {
      operands: [f32([4], [0, 2, -2, -1000])],
      attrs: {},
      expected: [f32([4], [0.5, 0.8807970779778823, 0.11920292202211755, 0])],
    },
  ],
  // Abramowitz and Stegun, table 7.1.
  erf: [
    {
      operands: [f32([6], [0, 0.5, 1, -1, 2, 30])],
      attrs: {},
      expected: [f32([6], [0, 0.5204998778, 0.8427007929, -0.8427007929, 0.995322265, 1])],
    },
  ],
  relu: [{ operands: [f32([4], [-1, 0, 2, nan])], attrs: {}, expected: [f32([4], [0, 0, 2, nan])] }],
  silu: [
    { operands: [f32([3], [0, 2, -2])], attrs: {}, expected: [f32([3], [0, 1.7615941559557646, -0.2384058440442351])] },
  ],
  // What torch gives for gelu, gelu with approximate='tanh', and transformers for quick_gelu.
  gelu: [
    {
      operands: [f32([3], [1, -1, 2])],
      attrs: { form: 'erf' },
      expected: [f32([3], [0.8413447460685429, -0.15865525393145707, 1.9544997361036416])],
    },
    {
      operands: [f32([3], [1, -1, 2])],
      attrs: { form: 'tanh' },
      expected: [f32([3], [0.8411919906082768, -0.15880800939172324, 1.954597694087775])],
    },
    {
      operands: [f32([3], [1, -1, 2])],
      attrs: { form: 'sigmoid' },
      expected: [f32([3], [0.8457957659328212, -0.1542042340671787, 1.9356586231442083])],
    },
  ],
  cast: [
    {
      title: 'floats to integers, towards zero',
      operands: [f32([4], [1.9, -1.9, 0.5, -0.5])],
      attrs: { to: 'i64' },
      expected: [i64([4], [1, -1, 0, 0])],
    },
    {
      title: 'anything but 0 is true',
      operands: [f32([4], [0, -0.1, nan, 3])],
      attrs: { to: 'bool' },
      expected: [bool([4], [0, 1, 1, 1])],
    },
    {
      title: 'truths to numbers',
      operands: [bool([2], [0, 1])],
      attrs: { to: 'f16' },
      expected: [makeTensor('f16', [2], [0, 1])],
    },
  ],

  equal: [{ operands: [f32([3], [1, 2, nan]), f32([3], [1, 3, nan])], attrs: {}, expected: [bool([3], [1, 0, 0])] }],
  less: [{ operands: [i64([3], [1, 2, 3]), i64([], [2])], attrs: {}, expected: [bool([3], [1, 0, 0])] }],
  less_equal: [
    { operands: [i64([2, 1], [1, 2]), i64([3], [0, 1, 2])], attrs: {}, expected: [bool([2, 3], [0, 1, 1, 0, 0, 1])] },
  ],
  and: [
    { operands: [bool([4], [0, 0, 1, 1]), bool([4], [0, 1, 0, 1])], attrs: {}, expected: [bool([4], [0, 0, 0, 1])] },
  ],
  or: [
    { operands: [bool([4], [0, 0, 1, 1]), bool([4], [0, 1, 0, 1])], attrs: {}, expected: [bool([4], [0, 1, 1, 1])] },
  ],
  not: [{ operands: [bool([2], [0, 1])], attrs: {}, expected: [bool([2], [1, 0])] }],
  where: [
    {
      title: 'the branch not taken may be NaN',
      operands: [bool([3], [1, 0, 1]), f32([3], [1, nan, 3]), f32([3], [nan, 5, nan])],
      attrs: {},
      expected: [f32([3], [1, 5, 3])],
    },
    {
      title: 'all three broadcast',
      operands: [bool([2, 1, 1], [1, 0]), row, f32([2, 1], [8, 9])],
      attrs: {},
      expected: [from([2, 2, 3], (i, j, k) => (i === 0 ? at(row, k) : 8 + j))],
    },
  ],
};

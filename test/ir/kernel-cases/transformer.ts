import type { Tensor } from '../../../ir/interpret/tensor.ts';
import { at, bool, f32, from, i64, type KernelCases, random, sum } from './kernel-case.ts';

const x = random([2, 3, 4], 'x');
const skip = random([2, 3, 4], 'skip');
const scale = random([4], 'scale');
const bias = random([4], 'bias');
const epsilon = 0.1;

const rms = (of: (i: number, j: number, k: number) => number) =>
  from([2, 3, 4], (i, j, k) => (of(i, j, k) / Math.sqrt(sum(4, (n) => of(i, j, n) ** 2) / 4 + epsilon)) * at(scale, k));
const total = (i: number, j: number, k: number) => at(x, i, j, k) + at(skip, i, j, k);
const mean = (i: number, j: number) => sum(4, (n) => at(x, i, j, n)) / 4;
const variance = (i: number, j: number) => sum(4, (n) => (at(x, i, j, n) - mean(i, j)) ** 2) / 4;

const heads = random([2, 3, 4, 6], 'heads');
const angles = random([2, 4, 2], 'angles');
const cos = from([2, 4, 2], (...i) => Math.cos(at(angles, ...i)));
const sin = from([2, 4, 2], (...i) => Math.sin(at(angles, ...i)));

/** Two of three pairs turn, as complex numbers do; the rest pass. */
const turned = from([2, 3, 4, 6], (b, h, s, d) => {
  if (d >= 4) return at(heads, b, h, s, d);
  const [re, im] = [at(heads, b, h, s, d % 2), at(heads, b, h, s, (d % 2) + 2)];
  const angle = Math.atan2(im, re) + at(angles, b, s, d % 2);
  return Math.hypot(re, im) * (d < 2 ? Math.cos(angle) : Math.sin(angle));
});
/** cos and sin of every token, in another order. */
const order = [5, 0, 7, 2, 1, 6, 3, 4];
const shuffled = (x: Tensor) => from([8, 2], (row, r) => x.data[2 * order.indexOf(row) + r]!);

const q = random([2, 4, 3, 5], 'q');
const k = random([2, 2, 6, 5], 'k');
const v = random([2, 2, 6, 7], 'v');
/** Keys up to and including the query's own place, the first key of the second sequence being padding. */
const causal = from([2, 1, 3, 6], (b, _, s, t) => (t <= 3 + s && (b === 0 || t > 0) ? 1 : 0), 'bool');

const attended = from([2, 4, 3, 7], (b, h, s, e) => {
  const kv = Math.floor(h / 2);
  const weight = (t: number) =>
    at(causal, b, 0, s, t) * Math.exp(0.3 * sum(5, (d) => at(q, b, h, s, d) * at(k, b, kv, t, d)));
  return sum(6, (t) => weight(t) * at(v, b, kv, t, e)) / sum(6, weight);
});

/** Four pages of two places. Two rows with two pages each, then one with none; two new tokens a row. */
const tables = [
  [3, 1],
  [0, 3],
];
const keyPages = random([4, 2, 2, 5], 'key pages');
const valuePages = random([4, 2, 2, 7], 'value pages');
const pagedQ = random([3, 4, 2, 5], 'paged q');
const newKeys = random([3, 2, 2, 5], 'new keys');
const newValues = random([3, 2, 2, 7], 'new values');
/** The first row has three places in use, the second four; each new token sees itself and those before. */
const past = [3, 4, 0];
const seenBy = (row: number, token: number, places: number) => (place: number) =>
  (place < places ? place < past[row]! : place - places <= token) ? 1 : 0;
const places = (row: number) => (row < 2 ? 4 : 0);
const stored = (pages: Tensor, fresh: Tensor, row: number, kv: number, place: number, i: number) =>
  place < places(row)
    ? at(pages, tables[row]![Math.floor(place / 2)]!, kv, place % 2, i)
    : at(fresh, row, kv, place - places(row), i);

const pagedAttended = from([3, 4, 2, 7], (row, h, token, e) => {
  const kv = Math.floor(h / 2);
  const total = places(row) + 2;
  const weight = (t: number) =>
    seenBy(row, token, places(row))(t) *
    Math.exp(0.3 * sum(5, (d) => at(pagedQ, row, h, token, d) * stored(keyPages, newKeys, row, kv, t, d)));
  const value = (t: number) => stored(valuePages, newValues, row, kv, t, e);
  return sum(total, (t) => weight(t) * value(t)) / sum(total, weight);
});
const maskOf = (first: number, rows: number) =>
  from([rows, 1, 2, places(first) + 2], (row, _, s, t) => seenBy(first + row, s, places(first))(t), 'bool');

export const transformerCases: KernelCases<
  'rms_norm' | 'add_rms_norm' | 'layer_norm' | 'rotary' | 'rotary_lookup' | 'attention' | 'paged_attention'
> = {
  rms_norm: [{ operands: [x, scale], attrs: { epsilon }, expected: [rms((i, j, n) => at(x, i, j, n))] }],
  add_rms_norm: [{ operands: [x, skip, scale], attrs: { epsilon }, expected: [rms(total), from([2, 3, 4], total)] }],
  layer_norm: [
    {
      operands: [x, scale, bias],
      attrs: { epsilon },
      expected: [
        from(
          [2, 3, 4],
          (i, j, n) =>
            ((at(x, i, j, n) - mean(i, j)) / Math.sqrt(variance(i, j) + epsilon)) * at(scale, n) + at(bias, n),
        ),
      ],
    },
  ],
  rotary: [
    {
      operands: [heads, cos, sin],
      attrs: {},
      expected: [turned],
    },
  ],
  rotary_lookup: [
    {
      operands: [heads, shuffled(cos), shuffled(sin), i64([2, 4], order)],
      attrs: {},
      expected: [turned],
    },
  ],
  attention: [
    {
      title: 'grouped heads, causal, padded',
      operands: [q, k, v, causal],
      attrs: { scale: 0.3 },
      expected: [attended],
    },
    {
      title: 'a query that sees none sees all alike',
      operands: [
        random([1, 1, 1, 2], 'q'),
        random([1, 1, 2, 2], 'k'),
        f32([1, 1, 2, 1], [1, 4]),
        bool([1, 1, 1, 2], [0, 0]),
      ],
      attrs: { scale: 1 },
      expected: [f32([1, 1, 1, 1], [2.5])],
    },
    {
      title: 'large scores do not overflow',
      operands: [
        f32([1, 1, 1, 1], [1000]),
        f32([1, 1, 2, 1], [1000, 999]),
        f32([1, 1, 2, 1], [1, 4]),
        bool([1, 1, 1, 2], [1, 1]),
      ],
      attrs: { scale: 1 },
      expected: [f32([1, 1, 1, 1], [1])],
    },
  ],
  paged_attention: [
    {
      title: 'two groups, the second without a past',
      operands: [
        ...[pagedQ, newKeys, newValues, keyPages, valuePages],
        ...[i64([2, 2], tables.flat()), maskOf(0, 2)],
        ...[i64([1, 0], []), maskOf(2, 1)],
      ],
      attrs: { scale: 0.3 },
      expected: [pagedAttended],
    },
    {
      title: 'no rows',
      operands: [
        ...[f32([0, 4, 2, 5], []), f32([0, 2, 2, 5], []), f32([0, 2, 2, 7], []), keyPages, valuePages],
        ...[i64([0, 1], []), bool([0, 1, 2, 4], [])],
      ],
      attrs: { scale: 0.3 },
      expected: [f32([0, 4, 2, 7], [])],
    },
  ],
};

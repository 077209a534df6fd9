import { addDims, type Dim, multiplyDims, subtractDims } from '../../ir/dims.ts';
import { type DType, isFloat } from '../../ir/dtype.ts';
import type { AttrsOf, Op, OpOf, Value } from '../../ir/graph.ts';
import type { OpKind } from '../../ir/op-table.ts';
import { sameDims, sameType } from '../../ir/tensor-type.ts';

/** What a rule looks at and builds with. Values are those of the new graph. */
export interface Folding {
  /** The operation that makes a value; undefined for inputs, weights, parameters and what loops return. */
  readonly maker: (value: Value) => Op | undefined;
  /** The operation that makes a value, if it is of this kind. */
  readonly madeBy: <K extends OpKind>(kind: K, value: Value) => OpOf<K> | undefined;
  /** Adds an operation, simplified in its turn. */
  readonly add: <K extends Exclude<OpKind, 'loop'>>(
    kind: K,
    operands: readonly Value[],
    attrs: AttrsOf<K>,
    name: string,
  ) => Value;
}

/** A simpler value than the result of `op`, or undefined where there is none. */
type Rule<K extends OpKind> = (op: OpOf<K>, f: Folding) => Value | undefined;

/** What cancels out, by the operation at which it shows. */
export const simplifications: { readonly [K in OpKind]?: Rule<K> } = {
  add(op, f) {
    const [a, b] = op.operands as [Value, Value];
    if (emptyUpdate(b, f)) return same(op, a);
    if (emptyUpdate(a, f)) return same(op, b);
    // In floats 0 is not the neutral element: −0 + 0 is 0.
    const neutral = isFloat(a.type.dtype) ? -0 : 0;
    if (isAll(neutral, b, f)) return same(op, a);
    if (isAll(neutral, a, f)) return same(op, b);
    return sizeOf(op, addDims, f);
  },
  sub(op, f) {
    const [a, b] = op.operands as [Value, Value];
    return isAll(0, b, f) ? same(op, a) : sizeOf(op, subtractDims, f);
  },
  mul(op, f) {
    const [a, b] = op.operands as [Value, Value];
    if (isAll(1, b, f)) return same(op, a);
    if (isAll(1, a, f)) return same(op, b);
    return sizeOf(op, multiplyDims, f);
  },
  div(op, f) {
    const [a, b] = op.operands as [Value, Value];
    return isAll(1, b, f) ? same(op, a) : undefined;
  },
  equal(op, f) {
    // A truth written as a number is 0 where it is none.
    const [a, b] = op.operands as [Value, Value];
    const truthOf = (x: Value, zero: Value): Value | undefined => {
      const truth = isAll(0, zero, f) ? f.madeBy('cast', x)?.operands[0] : undefined;
      const fits = truth?.type.dtype === 'bool' && sameDims(truth.type.dims, op.results[0]!.type.dims);
      return fits ? truth : undefined;
    };
    const truth = truthOf(a, b) ?? truthOf(b, a);
    return truth && f.add('not', [truth], {}, op.results[0]!.name);
  },
  neg: undoes('neg'),
  not: undoes('not'),
  and: (op, f) => connective(op, 1, f),
  or: (op, f) => connective(op, 0, f),
  where(op, f) {
    const [condition, a, b] = op.operands as [Value, Value, Value];
    if (a === b || isAll(1, condition, f)) return same(op, a);
    return isAll(0, condition, f) ? same(op, b) : undefined;
  },
  cast(op, f) {
    const [x] = op.operands as [Value];
    if (x.type.dtype === op.attrs.to) return x;
    const inner = f.madeBy('cast', x);
    const from = inner?.operands[0];
    if (!from || !widens(from.type.dtype, x.type.dtype)) return undefined;
    return f.add('cast', [from], { to: op.attrs.to }, op.results[0]!.name);
  },

  reshape(op, f) {
    const [x] = op.operands as [Value];
    const { dims } = op.attrs;
    if (sameDims(x.type.dims, dims)) return x;
    const inner = f.madeBy('reshape', x);
    return inner && f.add('reshape', [inner.operands[0]!], { dims }, op.results[0]!.name);
  },
  expand(op, f) {
    const [x] = op.operands as [Value];
    const { dims } = op.attrs;
    if (sameDims(x.type.dims, dims)) return x;
    const inner = f.madeBy('expand', x);
    return inner && f.add('expand', [inner.operands[0]!], { dims }, op.results[0]!.name);
  },
  transpose(op, f) {
    const [x] = op.operands as [Value];
    const { perm } = op.attrs;
    if (perm.every((axis, i) => axis === i)) return x;
    const inner = f.madeBy('transpose', x);
    if (!inner) return undefined;
    const both = perm.map((axis) => inner.attrs.perm[axis]!);
    return f.add('transpose', [inner.operands[0]!], { perm: both }, op.results[0]!.name);
  },
  concat(op, f) {
    const { axis } = op.attrs;
    const parts = op.operands.filter((part) => part.type.dims[axis] !== 0);
    // Slices of one tensor that lie side by side become one.
    const joined: Value[] = [];
    for (const part of parts) {
      const last = joined.at(-1);
      const both = last && adjacent(last, part, axis, f);
      if (both) joined.splice(-1, 1, f.add('slice', [both.x], { axis, start: both.start, end: both.end }, part.name));
      else joined.push(part);
    }
    if (joined.length === 0) return same(op, op.operands[0]!);
    if (joined.length === 1) return joined[0];
    return joined.length < op.operands.length ? f.add('concat', joined, { axis }, op.results[0]!.name) : undefined;
  },
  slice(op, f) {
    const [x] = op.operands as [Value];
    const { axis, start, end } = op.attrs;
    if (start === 0 && end === x.type.dims[axis]) return x;
    const name = op.results[0]!.name;
    const inner = f.madeBy('slice', x);
    if (inner?.attrs.axis === axis) {
      const from = inner.attrs.start;
      return f.add('slice', [inner.operands[0]!], { axis, start: addDims(from, start), end: addDims(from, end) }, name);
    }
    const joined = f.madeBy('concat', x);
    const parts = joined?.attrs.axis === axis ? partsBetween(joined, start, end) : undefined;
    return parts && parts.length > 0 ? f.add('concat', parts, { axis }, name) : undefined;
  },
  stack(op, f) {
    // All entries of one tensor, put together again.
    const first = f.madeBy('select', op.operands[0]!);
    const x = first?.operands[0];
    if (!x || x.type.dims[0] !== op.operands.length) return undefined;
    const whole = op.operands.every((entry, i) => {
      const select = f.madeBy('select', entry);
      return select?.operands[0] === x && select.attrs.axis === 0 && select.attrs.index === i;
    });
    return whole ? x : undefined;
  },
  select(op, f) {
    const [x] = op.operands as [Value];
    if (op.attrs.axis !== 0) return undefined;
    return f.madeBy('stack', x)?.operands[op.attrs.index];
  },
  gather(op, f) {
    const [x, indices] = op.operands as [Value, Value];
    const index = f.madeBy('constant', indices);
    const size = x.type.dims[op.attrs.axis];
    if (!index || index.attrs.dims.length > 0 || typeof size !== 'number') return undefined;
    const [at] = index.attrs.values as [number];
    if (at < 0 || at >= size) return undefined;
    return f.add('select', [x], { axis: op.attrs.axis, index: at }, op.results[0]!.name);
  },
};

/** `x` in place of the result, unless broadcasting makes the result another type. */
function same(op: { readonly results: readonly Value[] }, x: Value): Value | undefined {
  return sameType(op.results[0]!.type, x.type) ? x : undefined;
}

/** True for a constant, grown or not, whose every element is `number`, with that sign if it is zero. */
function isAll(number: number, value: Value, f: Folding): boolean {
  const grown = f.madeBy('expand', value);
  const constant = f.madeBy('constant', grown?.operands[0] ?? value);
  if (!constant) return false;
  const exact = isFloat(constant.attrs.dtype);
  return constant.attrs.values.every((x) => (exact ? Object.is(x, number) : x === number));
}

function emptyUpdate(value: Value, f: Folding): boolean {
  if (f.madeBy('low_rank', value)?.operands[1]?.type.dims[0] === 0) return true;
  return f.madeBy('low_rank_by_depth', value)?.operands[1]?.type.dims[1] === 0;
}

/** Arithmetic on two sizes is a size. */
function sizeOf(
  op: { readonly operands: readonly Value[]; readonly results: readonly Value[] },
  combine: (a: Dim, b: Dim) => Dim,
  f: Folding,
): Value | undefined {
  const [a, b] = op.operands.map((value): Dim | undefined => {
    const constant = f.madeBy('constant', value);
    if (constant && constant.attrs.dtype === 'i64' && constant.attrs.dims.length === 0) return constant.attrs.values[0];
    return f.madeBy('size', value)?.attrs.of;
  });
  return a === undefined || b === undefined ? undefined : f.add('size', [], { of: combine(a, b) }, op.results[0]!.name);
}

function undoes<K extends 'neg' | 'not'>(kind: K): Rule<K> {
  return (op, f) => f.madeBy(kind, op.operands[0]!)?.operands[0];
}

/** `neutral` is the truth that changes nothing; the other decides alone. */
function connective(op: OpOf<'and'> | OpOf<'or'>, neutral: 0 | 1, f: Folding): Value | undefined {
  const [a, b] = op.operands as [Value, Value];
  for (const [x, other] of [
    [a, b],
    [b, a],
  ] as const) {
    if (x === other || isAll(neutral, other, f)) return same(op, x);
    if (isAll(1 - neutral, other, f)) return same(op, other);
  }
  return undefined;
}

/** True where every value of `from` is one of `to`: a cast there and on is one cast. */
function widens(from: DType, to: DType): boolean {
  return (exactly[from] ?? []).includes(to);
}

const exactly: { readonly [D in DType]?: readonly DType[] } = {
  bool: ['u8', 'i8', 'i32', 'i64', 'f16', 'bf16', 'f32', 'f64'],
  i4: ['i8', 'i32', 'i64', 'f16', 'bf16', 'f32', 'f64'],
  i8: ['i32', 'i64', 'f16', 'bf16', 'f32', 'f64'],
  u8: ['i32', 'i64', 'f16', 'bf16', 'f32', 'f64'],
  i32: ['i64', 'f64'],
  f16: ['f32', 'f64'],
  bf16: ['f32', 'f64'],
  f32: ['f64'],
};

interface Run {
  readonly x: Value;
  readonly start: Dim;
  readonly end: Dim;
}

function adjacent(left: Value, right: Value, axis: number, f: Folding): Run | undefined {
  const [a, b] = [f.madeBy('slice', left), f.madeBy('slice', right)];
  const fits = a && b && a.operands[0] === b.operands[0] && a.attrs.axis === axis && b.attrs.axis === axis;
  if (!fits || a.attrs.end !== b.attrs.start) return undefined;
  return { x: a.operands[0]!, start: a.attrs.start, end: b.attrs.end };
}

/** The operands that lie between two places of a concatenation, if both places are where two operands meet. */
function partsBetween(op: OpOf<'concat'>, start: Dim, end: Dim): readonly Value[] | undefined {
  let place: Dim = 0;
  let from: number | undefined;
  for (let i = 0; i <= op.operands.length; i++) {
    if (from === undefined && place === start) from = i;
    if (from !== undefined && i > from && place === end) return op.operands.slice(from, i);
    place = addDims(place, op.operands[i]?.type.dims[op.attrs.axis] ?? 0);
  }
  return undefined;
}

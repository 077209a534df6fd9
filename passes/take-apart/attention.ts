import type { GraphBuilder } from '../../ir/builder.ts';
import { type Dim, multiplyDims } from '../../ir/dims.ts';
import type { FloatDType } from '../../ir/dtype.ts';
import type { OpOf, Value } from '../../ir/graph.ts';
import { roundTo } from '../../ir/rounding.ts';

/**
 * Query heads of one KV head become rows of one product, so that keys and values are read once and not once a head.
 * The scale goes onto the queries, which are smaller than the scores.
 */
export function attention(
  builder: GraphBuilder,
  [q, k, v, mask]: readonly [Value, Value, Value, Value],
  { attrs }: OpOf<'attention'>,
  maskScope: string,
): Value {
  const heads = groupedHeads(q, k);
  const bias = builder.inScope(maskScope, () => maskBias(builder, mask, heads.group, softmaxType(q)));
  const scores = builder.add(
    'matmul',
    [groupedQueries(builder, q, heads, attrs.scale), turned(builder, k, 'k.transposed')],
    {},
    'scores',
  );
  const attended = builder.add('matmul', [sharesOf(builder, scores, bias), v], {}, 'attended');
  return ungrouped(builder, attended, q, heads);
}

/** Query heads to a KV head: `group` of them, whose queries become rows of one product. */
export interface GroupedHeads {
  readonly group: number;
  readonly kvHeads: number;
}

/** q [ROWS, HEADS, TOKENS, D], k [ROWS, KV_HEADS, .., D]. */
export function groupedHeads(q: Value, k: Value): GroupedHeads {
  const kvHeads = k.type.dims[1] as number;
  return { kvHeads, group: (q.type.dims[1] as number) / kvHeads };
}

/** The type that a softmax is computed in. */
export function softmaxType({ type }: Value): 'f32' | 'f64' {
  return type.dtype === 'f64' ? 'f64' : 'f32';
}

/** scale · q as [ROWS, KV_HEADS, GROUP · TOKENS, D]. */
export function groupedQueries(
  builder: GraphBuilder,
  q: Value,
  { group, kvHeads }: GroupedHeads,
  scale: number,
): Value {
  const [rows, , tokens, width] = q.type.dims as [Dim, Dim, Dim, Dim];
  const dtype = q.type.dtype as FloatDType;
  const dims = [rows, kvHeads, multiplyDims(group, tokens), width];
  const grouped = group === 1 ? q : builder.add('reshape', [q], { dims }, 'q.grouped');
  // Right before the product, where ONNX Runtime makes it a factor of the product itself.
  return scale === 1
    ? grouped
    : builder.add('mul', [grouped, builder.constant(dtype, roundTo(dtype, scale))], {}, 'q.scaled');
}

/** The matrices in the last two axes transposed; in front of a product ONNX Runtime makes that a flag of the product. */
export function turned(builder: GraphBuilder, x: Value, name: string): Value {
  return builder.add('transpose', [x], { perm: [0, 1, 3, 2] }, name);
}

/** What attention gives a group of heads, as [ROWS, HEADS, TOKENS, E] again. */
export function ungrouped(builder: GraphBuilder, attended: Value, q: Value, { group }: GroupedHeads): Value {
  const dims = [...q.type.dims.slice(0, 3), attended.type.dims[3]!];
  return group === 1 ? attended : builder.add('reshape', [attended], { dims }, 'attended');
}

/** softmax(scores + bias) along the last axis, in the type of the scores. */
export function sharesOf(builder: GraphBuilder, scores: Value, bias: Value): Value {
  const dtype = scores.type.dtype as FloatDType;
  const wide = softmaxType(scores);
  const as = (value: Value, to: FloatDType, name: string): Value =>
    value.type.dtype === to ? value : builder.add('cast', [value], { to }, name);
  const masked = builder.add('add', [as(scores, wide, 'scores'), bias], {}, 'scores.masked');
  return as(builder.add('softmax', [masked], { axis: 3 }, 'shares'), dtype, 'shares');
}

/**
 * The mask as a number to add to scores: 0, or the lowest there is, beside which a score is nothing, so that a query
 * that sees no key has all scores alike. One row per query of each group: f32 [BATCH, 1, GROUP · SEQUENCE, TOTAL].
 */
export function maskBias(builder: GraphBuilder, mask: Value, group: number, dtype: 'f32' | 'f64'): Value {
  const lowest = dtype === 'f32' ? -3.4028234663852886e38 : -Number.MAX_VALUE;
  const zero = builder.constant(dtype, 0);
  const bias = builder.add('where', [mask, zero, builder.constant(dtype, lowest)], {}, 'bias');
  return group === 1 ? bias : builder.add('concat', new Array<Value>(group).fill(bias), { axis: 2 }, 'bias.rows');
}

import type { GraphBuilder } from '../../ir/builder.ts';
import { type Dim, multiplyDims } from '../../ir/dims.ts';
import type { OpOf, Value } from '../../ir/graph.ts';
import { groupedHeads, groupedQueries, maskBias, sharesOf, softmaxType, turned, ungrouped } from './attention.ts';

/** One group of rows: what tells its pages, and what hides places in them. */
interface RowGroup {
  readonly rows: Dim;
  /** The pages of each row and KV head among those of all heads: i64 [ROWS, KV_HEADS, PAGES]. */
  readonly places: Value;
  readonly bias: Value;
}

/**
 * attention over pages: each KV head's pages are looked up so that those of a row lie one behind the other. They are
 * not joined with the new keys and values, which would copy them once more: scores are joined, which are smaller, and
 * their shares cut in two again.
 * @param scopeOf where what every layer makes alike from a mask belongs
 * @param wholeRotary true where the target rotates by one operator. Where it does not, the scores of new keys are turned
 * and not the keys: ONNX Runtime would move that up through the parts of the rotation, and then has two transpositions
 * that are no flag of the product
 */
export function pagedAttention(
  builder: GraphBuilder,
  op: OpOf<'paged_attention'>,
  operands: readonly Value[],
  scopeOf: (operand: number) => string,
  wholeRotary: boolean,
): Value {
  const [q, k, v, keyPages, valuePages, ...rest] = operands as [Value, Value, Value, Value, Value, ...Value[]];
  const heads = groupedHeads(q, k);
  const groups = groupsOf(rest).map(({ table, mask, operand }): RowGroup => {
    return builder.inScope(scopeOf(operand + 1), () => ({
      rows: table.type.dims[0]!,
      places: placesOf(builder, table, heads.kvHeads),
      bias: maskBias(builder, mask, heads.group, softmaxType(q)),
    }));
  });
  const sizes = groups.map(({ rows }) => rows);
  const queries = groupedQueries(builder, q, heads, op.attrs.scale);
  const [ofQueries, ofKeys, ofValues] = [queries, k, v].map((x) => apart(builder, x, sizes)) as [
    Values,
    Values,
    Values,
  ];
  const [allKeys, allValues] = [pagesOfHeads(builder, keyPages), pagesOfHeads(builder, valuePages)];
  const attended = groups.map(({ places, bias }, i) => {
    const past = [lookUp(builder, allKeys, places), lookUp(builder, allValues, places)] as const;
    return attendGroup(builder, [ofQueries[i]!, ofKeys[i]!, ofValues[i]!, ...past], bias, wholeRotary);
  });
  const joined = groups.length === 1 ? attended[0]! : builder.add('concat', attended, { axis: 0 }, 'attended');
  return ungrouped(builder, joined, q, heads);
}

/**
 * attention over pages where the target has attention itself: the pages of each row, one behind the other, and what is
 * new behind them.
 * @param scopeOf where what every layer makes alike from a page table belongs
 */
export function wholeAttention(
  builder: GraphBuilder,
  op: OpOf<'paged_attention'>,
  operands: readonly Value[],
  scopeOf: (operand: number) => string,
): Value {
  const [q, k, v, keyPages, valuePages, ...rest] = operands as [Value, Value, Value, Value, Value, ...Value[]];
  const { kvHeads } = groupedHeads(q, k);
  const groups = groupsOf(rest);
  const places = groups.map(({ table, operand }) =>
    builder.inScope(scopeOf(operand + 1), () => placesOf(builder, table, kvHeads)),
  );
  const sizes = groups.map(({ table }) => table.type.dims[0]!);
  const [ofQueries, ofKeys, ofValues] = [q, k, v].map((x) => apart(builder, x, sizes)) as [Values, Values, Values];
  const [allKeys, allValues] = [pagesOfHeads(builder, keyPages), pagesOfHeads(builder, valuePages)];
  const behindPast = (pages: Value, i: number, fresh: Value, name: string): Value =>
    builder.add('concat', [lookUp(builder, pages, places[i]!), fresh], { axis: 2 }, name);
  const attended = groups.map(({ mask }, i) => {
    const keys = behindPast(allKeys, i, ofKeys[i]!, 'keys');
    const values = behindPast(allValues, i, ofValues[i]!, 'values');
    return builder.add('attention', [ofQueries[i]!, keys, values, mask], { scale: op.attrs.scale }, 'attended');
  });
  return attended.length === 1 ? attended[0]! : builder.add('concat', attended, { axis: 0 }, 'attended');
}

type Values = readonly Value[];

/** The page tables and masks behind the first five operands of a paged_attention; `operand` is the table's number. */
function groupsOf(rest: Values): readonly { readonly table: Value; readonly mask: Value; readonly operand: number }[] {
  return rest.flatMap((table, i) => (i % 2 === 0 ? [{ table, mask: rest[i + 1]!, operand: 5 + i }] : []));
}

/** The rows of each group. */
function apart(builder: GraphBuilder, x: Value, sizes: readonly Dim[]): Values {
  return sizes.length === 1 ? [x] : builder.addAll('split', [x], { axis: 0, sizes }, `${x.name}.group`);
}

/** attention of scaled queries over past and new keys and values, all [ROWS, KV_HEADS, .., D]. */
function attendGroup(
  builder: GraphBuilder,
  [queries, k, v, pastKeys, pastValues]: readonly [Value, Value, Value, Value, Value],
  bias: Value,
  wholeRotary: boolean,
): Value {
  const pastScores = builder.add('matmul', [queries, turned(builder, pastKeys, 'past.turned')], {}, 'scores.past');
  const newScores = wholeRotary
    ? builder.add('matmul', [queries, turned(builder, k, 'k.turned')], {}, 'scores.new')
    : turned(builder, builder.add('matmul', [k, turned(builder, queries, 'q.turned')], {}, 'scores.new'), 'scores.new');
  const shares = sharesOf(builder, builder.add('concat', [pastScores, newScores], { axis: 3 }, 'scores'), bias);
  const sizes = [pastKeys.type.dims[2]!, k.type.dims[2]!];
  const [pastShares, newShares] = builder.addAll('split', [shares], { axis: 3, sizes }, 'shares') as [Value, Value];
  const ofPast = builder.add('matmul', [pastShares, pastValues], {}, 'attended.past');
  const ofNew = builder.add('matmul', [newShares, v], {}, 'attended.new');
  return builder.add('add', [ofPast, ofNew], {}, 'attended');
}

function placesOf(builder: GraphBuilder, table: Value, kvHeads: number): Value {
  const [rows, pages] = table.type.dims as [Dim, Dim];
  if (kvHeads === 1) return builder.add('reshape', [table], { dims: [rows, 1, pages] }, 'page.places');
  const first = builder.add('mul', [table, builder.constant('i64', kvHeads)], {}, 'page.first');
  const apart = builder.add('reshape', [first], { dims: [rows, 1, pages] }, 'page.first');
  const heads = Array.from({ length: kvHeads }, (_, head) => head);
  return builder.add('add', [apart, builder.constant('i64', heads, [kvHeads, 1])], {}, 'page.places');
}

/** Pages [PAGE_COUNT, KV_HEADS, SIZE, D] as [PAGE_COUNT·KV_HEADS, SIZE, D], which moves nothing. */
function pagesOfHeads(builder: GraphBuilder, pages: Value): Value {
  const [count, kvHeads, size, width] = pages.type.dims as [Dim, Dim, Dim, Dim];
  return builder.add('reshape', [pages], { dims: [multiplyDims(count, kvHeads), size, width] }, `${pages.name}.heads`);
}

/** The pages in `places`, those of a row and head as one: [ROWS, KV_HEADS, SIZE·PAGES, D]. */
function lookUp(builder: GraphBuilder, pages: Value, places: Value): Value {
  const [rows, kvHeads, count] = places.type.dims as [Dim, Dim, Dim];
  const [, size, width] = pages.type.dims as [Dim, Dim, Dim];
  const found = builder.add('gather', [pages, places], { axis: 0 }, 'past');
  return builder.add('reshape', [found], { dims: [rows, kvHeads, multiplyDims(size, count), width] }, 'past');
}

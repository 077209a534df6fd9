import type { GraphBuilder } from '../../ir/builder.ts';
import { addDims, type Dim, multiplyDims } from '../../ir/dims.ts';
import type { Value } from '../../ir/graph.ts';
import { tensor } from '../../ir/tensor-type.ts';
import type { Anatomy } from './anatomy.ts';
import type { CacheLayer } from './cache-layers.ts';
import { type RowView, rowView } from './row-view.ts';

/** What a step is given, in the order of its inputs. */
export interface StepInputs {
  /** All rows. */
  readonly all: RowView;
  /** [rows, tokens, hidden] behind the loop before. */
  readonly hidden: Value;
  readonly groups: readonly RowGroup[];
  /** [rows, boundary_pages], with a prelude or a coda. */
  readonly boundaryTable: Value | undefined;
  /** Rows that run the prelude, if there is one. */
  readonly entering: ListedRows | undefined;
  /** Rows that run the coda, if there is one. */
  readonly leaving: ListedRows | undefined;
  /** i64 [heads], token t of row r as r·tokens + t. */
  readonly headRows: Value;
  readonly pages: ReadonlyMap<CacheLayer, { readonly key: Value; readonly value: Value }>;
}

/** Consecutive rows that have a page table of their own. */
export interface RowGroup {
  readonly rows: RowView;
  readonly pageTable: Value;
}

/** Rows that an input lists. */
export interface ListedRows {
  readonly list: Value;
  readonly rows: RowView;
}

/** Adds the inputs of a step to `builder`, in order. */
export function stepInputs(
  builder: GraphBuilder,
  { final, layers }: Anatomy,
  { pageSize, groups: groupCount }: { readonly pageSize: number; readonly groups: number },
): StepInputs {
  const tokens = 'tokens';
  const numbered = Array.from({ length: groupCount }, (_, g) => g);
  const groupRows = numbered.map((g) => (groupCount === 1 ? 'rows' : `rows_${g}`));
  const rows = addDims(...groupRows);
  const i64 = (name: string, ...dims: readonly Dim[]) => builder.input(name, tensor('i64', dims));
  const hasBoundary = layers.prelude.length + layers.coda.length > 0;

  const input_ids = i64('input_ids', rows, tokens);
  const hidden = builder.input('hidden', tensor(final.type.dtype, [rows, tokens, final.type.dims[2]!]));
  const depth = i64('depth', rows);
  const position_ids = i64('position_ids', rows, tokens);
  const past_length = i64('past_length', rows);
  const tables = groupRows.map((count, g) =>
    groupCount === 1 ? i64('page_table', count, 'pages') : i64(`page_table.${g}`, count, `pages_${g}`),
  );
  const boundaryTable = hasBoundary ? i64('boundary_page_table', rows, 'boundary_pages') : undefined;
  const enteringList = layers.prelude.length > 0 ? i64('entering_rows', 'entering') : undefined;
  const leavingList = layers.coda.length > 0 ? i64('leaving_rows', 'leaving') : undefined;
  const headRows = i64('head_rows', 'heads');

  const facts = { input_ids, depth, position_ids, past_length };
  const places = (pages: Dim) => multiplyDims(pageSize, pages);
  const whole = { count: rows, tokens, past: places(tables[0]!.type.dims[1]!) };
  const listed = (list: Value | undefined): ListedRows | undefined =>
    list && {
      list,
      rows: rowView({ count: list.type.dims[0]!, tokens, past: places('boundary_pages') }, facts, (value) =>
        builder.add('gather', [value, list], { axis: 0 }, `${value.name}.${list.name}`),
      ),
    };
  const groups = tables.map((pageTable, g): RowGroup => {
    const [count, pages] = pageTable.type.dims as [Dim, Dim];
    const start = addDims(0, ...groupRows.slice(0, g));
    const slice = { axis: 0, start, end: addDims(start, count) };
    const take = (value: Value) =>
      groupCount === 1 ? value : builder.add('slice', [value], slice, `${value.name}.${g}`);
    return { rows: rowView({ count, tokens, past: places(pages) }, facts, take), pageTable };
  });
  const pages = new Map<CacheLayer, { readonly key: Value; readonly value: Value }>();
  for (const layer of [...layers.prelude, ...layers.block, ...layers.coda]) {
    const count = layers.block.includes(layer) ? 'page_count' : 'boundary_page_count';
    const page = (part: 'key' | 'value', { type }: Value) =>
      builder.input(
        `${part}_pages.${layer.stored}`,
        tensor(type.dtype, [count, type.dims[1]!, pageSize, type.dims[3]!]),
      );
    pages.set(layer, { key: page('key', layer.key), value: page('value', layer.value) });
  }
  return {
    all: rowView(whole, facts, (value) => value),
    hidden,
    groups,
    boundaryTable,
    entering: listed(enteringList),
    leaving: listed(leavingList),
    headRows,
    pages,
  };
}

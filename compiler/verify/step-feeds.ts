import { dealRows } from '../../files/deal-rows.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { type CacheEntries, cacheKinds } from './cache-entries.ts';
import type { InputType, Sizes } from './call.ts';

/** One row of a step: some tokens of a sequence at one depth, with what it may see. */
export interface FeedRow {
  readonly depth: number;
  readonly ids: readonly number[];
  readonly positions: readonly number[];
  /** By token, [hidden]; empty at depth 0. */
  readonly hidden: readonly Float64Array[];
  /** By stored layer: entries at this depth, those of prelude and coda at all of them. */
  readonly past: readonly CacheEntries[];
  /** Whether its tokens are to run the coda and give logits. */
  readonly leaving: boolean;
}

/** A step's inputs, and where in its outputs the rows' own are. */
export interface StepFeeds {
  readonly feeds: ReadonlyMap<string, Tensor>;
  /** Place of the row among those that enter and those that leave; -1 for others. */
  readonly entering: readonly number[];
  readonly leaving: readonly number[];
  /** Place of each row's first head. */
  readonly heads: readonly number[];
}

/**
 * The inputs of a step graph for some rows (contract: ARCHITECTURE.md). Pages are dealt out from the last to the first
 * and page by page over all rows, so that no row's pages lie in order: a wrong table shows.
 * @param inputs of the step graph; attention groups get their rows by `dealRows`
 * @param least sizes that whoever runs the graph does not go below: an engine runs no empty list. Rows that are missing
 * are idle ones behind the others, at depth 0 and with no past; lists go on with the last row, tables with page 0. What
 * that gives stands behind everything that was asked for, and nobody reads it
 */
export function feedStep(
  manifest: PackageManifest,
  inputs: readonly InputType[],
  wanted: readonly FeedRow[],
  least: Sizes = {},
): StepFeeds {
  const { cache } = manifest;
  const pageSize = cache.pageSize ?? 1;
  const groups = inputs.filter(({ name }) => name.startsWith('page_table.')).length;
  const rows = withIdleRows(wanted, inputs, groups, least);
  const tokens = Math.max(least.tokens ?? 0, ...rows.map(({ ids }) => ids.length));
  const hiddenSize = Number(inputs.find(({ name }) => name === 'hidden')?.dims.at(-1) ?? 0);
  const lengths = rows.map(({ past }) => past[0]?.key.length ?? 0);
  const tables = dealPages(lengths.map((length) => Math.ceil(length / pageSize)));
  const widthOf = (part: readonly (readonly number[])[], dim: string) =>
    Math.max(least[dim] ?? 0, ...part.map(({ length }) => length));
  const padded = (list: readonly number[], size: number) => [...list, ...new Array<number>(size - list.length).fill(0)];
  const table = (part: readonly (readonly number[])[], size: number) =>
    makeTensor(
      'i64',
      [part.length, size],
      part.flatMap((pages) => padded(pages, size)),
    );
  const list = (values: readonly number[], dim = '', filler = 0) => {
    const size = Math.max(values.length, least[dim] ?? 0);
    return makeTensor('i64', [size], [...values, ...new Array<number>(size - values.length).fill(filler)]);
  };
  const byToken = (of: (row: FeedRow) => readonly number[]) =>
    makeTensor(
      'i64',
      [rows.length, tokens],
      rows.flatMap((row) => padded(of(row), tokens)),
    );

  const last = rows.length - 1;
  const entering = rows.flatMap(({ depth }, i) => (depth === 0 ? [i] : []));
  const leaving = rows.flatMap((row, i) => (row.leaving ? [i] : []));
  const heads: number[] = [];
  let counted = 0;
  for (const { leaving: leaves, ids } of rows) {
    heads.push(counted);
    if (leaves) counted += ids.length;
  }
  const headRows = leaving.flatMap((i) => rows[i]!.ids.map((_, t) => i * tokens + t));
  const hidden = new Float64Array(rows.length * tokens * hiddenSize);
  rows.forEach((row, i) => {
    row.hidden.forEach((state, t) => {
      hidden.set(state, (i * tokens + t) * hiddenSize);
    });
  });
  const made = new Map<string, Tensor>([
    ['input_ids', byToken(({ ids }) => ids)],
    ['hidden', makeTensor(dtypeOf(inputs, 'hidden'), [rows.length, tokens, hiddenSize], hidden)],
    ['depth', list(rows.map(({ depth }) => depth))],
    ['position_ids', byToken(({ positions }) => positions)],
    ['past_length', list(lengths)],
    ['page_table', table(tables, widthOf(tables, 'pages'))],
    ['boundary_page_table', table(tables, widthOf(tables, 'boundary_pages'))],
    ['entering_rows', list(entering, 'entering', last)],
    ['leaving_rows', list(leaving, 'leaving', last)],
    ['head_rows', list(headRows, 'heads', last * tokens)],
  ]);
  let first = 0;
  for (const [g, size] of dealRows(rows.length, groups).entries()) {
    const part = tables.slice(first, first + size);
    first += size;
    made.set(`page_table.${g}`, table(part, widthOf(part, `pages_${g}`)));
  }
  const dealt = 1 + tables.reduce((sum, { length }) => sum + length, 0);
  cache.layers.forEach(({ layer, part }) => {
    const pageCount = Math.max(dealt, least[part === 'block' ? 'page_count' : 'boundary_page_count'] ?? 0);
    for (const kind of cacheKinds) {
      const pages = new Float64Array(pageCount * cache.heads * pageSize * cache.headDim);
      rows.forEach(({ past }, i) => {
        past[layer]![kind].forEach((entry, position) => {
          const page = tables[i]![Math.floor(position / pageSize)]!;
          for (let head = 0; head < cache.heads; head++) {
            const to = ((page * cache.heads + head) * pageSize + (position % pageSize)) * cache.headDim;
            pages.set(entry.subarray(head * cache.headDim, (head + 1) * cache.headDim), to);
          }
        });
      });
      const shape = [pageCount, cache.heads, pageSize, cache.headDim];
      made.set(`${kind}_pages.${layer}`, makeTensor(cache.dtype, shape, pages));
    }
  });
  const feeds = new Map(inputs.map(({ name }) => [name, made.get(name)!] as const));
  return {
    feeds,
    entering: wanted.map((_, i) => entering.indexOf(i)),
    leaving: wanted.map((_, i) => leaving.indexOf(i)),
    heads: heads.slice(0, wanted.length),
  };
}

/** Page numbers for rows that want so many each: 1 and up, from the last to the first, taking turns. */
function dealPages(wanted: readonly number[]): readonly (readonly number[])[] {
  const tables = wanted.map((): number[] => []);
  let next = wanted.reduce((sum, n) => sum + n, 0);
  for (let turn = 0; next > 0; turn++) {
    wanted.forEach((n, i) => {
      if (turn < n) tables[i]!.push(next--);
    });
  }
  return tables;
}

/** Rows, and behind them as many that do nothing as it takes for every list and every group to have its least. */
function withIdleRows(
  rows: readonly FeedRow[],
  inputs: readonly InputType[],
  groups: number,
  least: Sizes,
): readonly FeedRow[] {
  const hasPrelude = inputs.some(({ name }) => name === 'entering_rows');
  // A row that a list names runs the prelude, and what it had as its hidden state is lost: none of the others will do.
  const enters = !hasPrelude || (least.entering ?? 0) <= rows.filter(({ depth }) => depth === 0).length;
  const groupsHave = (count: number) => dealRows(count, groups).every((size, g) => size >= (least[`rows_${g}`] ?? 0));
  let count = Math.max(rows.length + (enters ? 0 : 1), least.rows ?? 0);
  while (!groupsHave(count)) count++;
  const layers = rows[0]?.past.length ?? 0;
  const past = Array.from({ length: layers }, () => ({ key: [], value: [] }));
  const idle: FeedRow = { depth: 0, ids: [], positions: [], hidden: [], past, leaving: false };
  return [...rows, ...new Array<FeedRow>(count - rows.length).fill(idle)];
}

function dtypeOf(inputs: readonly InputType[], name: string): InputType['dtype'] {
  return inputs.find((input) => input.name === name)?.dtype ?? 'f32';
}

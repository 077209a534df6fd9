import type { PackageManifest } from '../../files/manifest.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { type CacheEntries, cacheKinds } from './cache-entries.ts';
import type { InputType } from './call.ts';

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
 * @param inputs of the step graph; attention groups get their rows evenly
 */
export function feedStep(manifest: PackageManifest, inputs: readonly InputType[], rows: readonly FeedRow[]): StepFeeds {
  const { cache } = manifest;
  const pageSize = cache.pageSize ?? 1;
  const tokens = Math.max(0, ...rows.map(({ ids }) => ids.length));
  const hiddenSize = widthOf(inputs, 'hidden');
  const lengths = rows.map(({ past }) => past[0]?.key.length ?? 0);
  const tables = dealPages(lengths.map((length) => Math.ceil(length / pageSize)));
  const width = Math.max(0, ...tables.map(({ length }) => length));
  const padded = (list: readonly number[], size: number) => [...list, ...new Array<number>(size - list.length).fill(0)];
  const table = (part: readonly (readonly number[])[], size: number) =>
    makeTensor(
      'i64',
      [part.length, size],
      part.flatMap((pages) => padded(pages, size)),
    );
  const list = (values: readonly number[]) => makeTensor('i64', [values.length], values);
  const byToken = (of: (row: FeedRow) => readonly number[]) =>
    makeTensor(
      'i64',
      [rows.length, tokens],
      rows.flatMap((row) => padded(of(row), tokens)),
    );

  const entering = rows.flatMap(({ depth }, i) => (depth === 0 ? [i] : []));
  const leaving = rows.flatMap((row, i) => (row.leaving ? [i] : []));
  const heads: number[] = [];
  let counted = 0;
  for (const { leaving: wanted, ids } of rows) {
    heads.push(counted);
    if (wanted) counted += ids.length;
  }
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
    ['page_table', table(tables, width)],
    ['boundary_page_table', table(tables, width)],
    ['entering_rows', list(entering)],
    ['leaving_rows', list(leaving)],
    ['head_rows', list(leaving.flatMap((i) => rows[i]!.ids.map((_, t) => i * tokens + t)))],
  ]);
  const groups = inputs.filter(({ name }) => name.startsWith('page_table.')).length;
  for (let g = 0; g < groups; g++) {
    const part = tables.slice(Math.ceil((g * rows.length) / groups), Math.ceil(((g + 1) * rows.length) / groups));
    made.set(`page_table.${g}`, table(part, Math.max(0, ...part.map(({ length }) => length))));
  }
  const pageCount = 1 + tables.reduce((sum, { length }) => sum + length, 0);
  cache.layers.forEach(({ layer }) => {
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
    entering: rows.map((_, i) => entering.indexOf(i)),
    leaving: rows.map((_, i) => leaving.indexOf(i)),
    heads,
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

function widthOf(inputs: readonly InputType[], name: string): number {
  return Number(inputs.find((input) => input.name === name)?.dims.at(-1) ?? 0);
}

function dtypeOf(inputs: readonly InputType[], name: string): InputType['dtype'] {
  return inputs.find((input) => input.name === name)?.dtype ?? 'f32';
}

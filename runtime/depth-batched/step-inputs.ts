import type { HostTensor } from '../session.ts';
import { groupRows } from './attention-groups.ts';
import type { Numbers } from './numbers.ts';
import { paddedTokens } from './padded-tokens.ts';
import type { StepRow, StepShape } from './step-model.ts';

/** The inputs of a step but for the pages, and where in its outputs the rows are. */
export interface StepInputs {
  readonly feeds: Readonly<Record<string, HostTensor>>;
  /** Tokens of a row, padding included. */
  readonly tokens: number;
  /** Place of each row in hidden.out and in the block's new entries. */
  readonly places: Int32Array;
  /** Place of each row among those that run the prelude; -1 for others. */
  readonly entering: Int32Array;
  /** Place of each row among those that run the coda; -1 for others. */
  readonly leaving: Int32Array;
  /** Heads that were asked for: of the first row, of the second, … */
  readonly heads: number;
}

/**
 * Makes inputs out of rows. The arrays are used again by the next step, so they are good for one run. What pads them is
 * zero: it is computed with, and though nothing of it is read, 0 · NaN would be.
 *
 * Where nothing may be empty, rows that idle stand behind those that were given: at depth 0, with no past, so that the
 * states which a prelude overwrites are nobody's. Lists for which there is no row name one all the same, of which nothing
 * is read, and tables name page 0. What comes of it stands behind everything that was asked for.
 */
export function stepInputs(shape: StepShape): (rows: readonly StepRow[]) => StepInputs {
  const { hiddenSize, pageSize, groups, neverEmpty } = shape;
  const least = neverEmpty ? 1 : 0;
  const boundary = shape.prelude + shape.coda > 0;
  const tables = Array.from({ length: groups }, (_, g) => ({
    name: groups === 1 ? 'page_table' : `page_table.${g}`,
    integers: growingIntegers(),
  }));
  const ids = growingIntegers();
  const positions = growingIntegers();
  const depths = growingIntegers();
  const past = growingIntegers();
  const boundaryTable = growingIntegers();
  const enteringRows = growingIntegers();
  const leavingRows = growingIntegers();
  const headRows = growingIntegers();
  const states = growingStates(shape.dtype);

  return (given) => {
    const rows = neverEmpty ? withIdleRows(shape, given) : given;
    const tokens = paddedTokens(rows.reduce((most, row) => Math.max(most, row.tokens.length), 1));
    const widths = rows.map(({ position }) => Math.ceil(position / pageSize));
    const { order, sizes } = groupRows(widths, groups, neverEmpty);
    const places = new Int32Array(rows.length);
    order.forEach((row, place) => {
      places[row] = place;
    });

    const input_ids = ids(rows.length, tokens);
    const position_ids = positions(rows.length, tokens);
    const depth = depths(rows.length);
    const past_length = past(rows.length);
    const hidden = states(rows.length, tokens, hiddenSize);
    for (const [i, row] of rows.entries()) {
      const place = places[i]!;
      depth.data[place] = BigInt(row.depth);
      past_length.data[place] = BigInt(row.position);
      for (let t = 0; t < tokens; t++) {
        const real = t < row.tokens.length;
        input_ids.data[place * tokens + t] = BigInt(real ? row.tokens[t]! : 0);
        position_ids.data[place * tokens + t] = BigInt(real ? row.position + t : 0);
      }
      const start = place * tokens * hiddenSize;
      const known = row.hidden === undefined ? 0 : row.tokens.length * hiddenSize;
      if (row.hidden !== undefined) (hidden.data as Float32Array).set(row.hidden.subarray(0, known), start);
      hidden.data.fill(0, start + known, start + tokens * hiddenSize);
    }

    const feeds: Record<string, HostTensor> = { input_ids, hidden, depth, position_ids, past_length };
    let first = 0;
    for (const [g, { name, integers }] of tables.entries()) {
      const members = order.slice(first, first + sizes[g]!);
      first += sizes[g]!;
      feeds[name] = pageTable(integers, members, widths, least, (row) => rows[row]!.pages);
    }
    if (boundary)
      feeds.boundary_page_table = pageTable(boundaryTable, order, widths, least, (row) => rows[row]!.boundaryPages);

    const entering = new Int32Array(rows.length).fill(-1);
    if (shape.prelude > 0) {
      feeds.entering_rows = listRows(enteringRows, rows, entering, places, least, ({ depth: at }) => at === 0);
    }
    const leaving = new Int32Array(rows.length).fill(-1);
    const coda = shape.coda > 0 ? listRows(leavingRows, rows, leaving, places, least, (row) => row.leaving) : undefined;
    if (coda) feeds.leaving_rows = coda;

    const heads = rows.reduce((sum, row) => sum + row.heads.length, 0);
    const head_rows = headRows(Math.max(heads, least));
    let head = 0;
    for (const [i, row] of rows.entries()) {
      for (const t of row.heads) head_rows.data[head++] = BigInt(places[i]! * tokens + t);
    }
    // Behind a coda a head is one of a row that runs it.
    if (heads < least) head_rows.data[0] = BigInt(tokens) * (coda?.data[0] ?? spare(places));
    feeds.head_rows = head_rows;
    return { feeds, tokens, places, entering, leaving, heads };
  };
}

interface Integers extends HostTensor {
  readonly data: BigInt64Array;
}

/** Tensors of integers that share one array, which grows when one of them is larger than all before. */
export function growingIntegers(): (...dims: readonly number[]) => Integers {
  let all = new BigInt64Array(64);
  return (...dims) => {
    const size = product(dims);
    if (size > all.length) all = new BigInt64Array(Math.max(size, 2 * all.length));
    return { type: 'i64', dims, data: all.subarray(0, size) };
  };
}

/** As {@link growingIntegers}, of hidden states. */
export function growingStates(
  dtype: StepShape['dtype'],
): (...dims: readonly number[]) => HostTensor & { readonly data: Numbers } {
  const make = (size: number): Numbers => (dtype === 'f16' ? new Uint16Array(size) : new Float32Array(size));
  let all = make(0);
  return (...dims) => {
    const size = product(dims);
    if (size > all.length) all = make(Math.max(size, 2 * all.length));
    return { type: dtype, dims, data: all.subarray(0, size) };
  };
}

function product(dims: readonly number[]): number {
  return dims.reduce((size, dim) => size * dim, 1);
}

/** Rows, and behind them those that idle, for every group and the list of those who enter to have one. */
function withIdleRows({ prelude, groups }: StepShape, rows: readonly StepRow[]): readonly StepRow[] {
  const enters = prelude === 0 || rows.some(({ depth }) => depth === 0);
  const count = Math.max(rows.length + (enters ? 0 : 1), groups);
  return count === rows.length ? rows : [...rows, ...Array.from({ length: count - rows.length }, () => idleRow)];
}

const idleRow: StepRow = {
  depth: 0,
  position: 0,
  tokens: [],
  pages: [],
  boundaryPages: [],
  hidden: undefined,
  leaving: false,
  heads: [],
};

/** The last row, by its place in the graph: one that idles, where there is one. */
function spare(places: Int32Array): bigint {
  return BigInt(places.at(-1)!);
}

/** [rows, pages of the longest], padded with page 0; at least so many. */
function pageTable(
  integers: (...dims: readonly number[]) => Integers,
  rows: readonly number[],
  widths: readonly number[],
  least: number,
  pagesOf: (row: number) => readonly number[],
): Integers {
  const width = rows.reduce((most, row) => Math.max(most, widths[row]!), least);
  const table = integers(rows.length, width);
  for (const [i, row] of rows.entries()) {
    const pages = pagesOf(row);
    for (let p = 0; p < width; p++) table.data[i * width + p] = p < widths[row]! ? BigInt(pages[p]!) : 0n;
  }
  return table;
}

/**
 * The rows that fit, by their places in the graph; `found` gets the place of each in that list. Is it shorter than
 * `least`, 0 or 1, a row that does not fit is in it.
 */
function listRows(
  integers: (...dims: readonly number[]) => Integers,
  rows: readonly StepRow[],
  found: Int32Array,
  places: Int32Array,
  least: number,
  fits: (row: StepRow) => boolean,
): Integers {
  let count = 0;
  for (const [i, row] of rows.entries()) if (fits(row)) found[i] = count++;
  const list = integers(Math.max(count, least));
  if (count < least) list.data[0] = spare(places);
  for (let i = 0; i < rows.length; i++) if (found[i]! >= 0) list.data[found[i]!] = BigInt(places[i]!);
  return list;
}

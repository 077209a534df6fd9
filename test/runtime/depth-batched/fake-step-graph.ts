import { isDeepStrictEqual } from 'node:util';
import { invariant } from '../../../ir/invariant.ts';
import { createStepModel } from '../../../runtime/depth-batched/create-step-model.ts';
import type { StepModel } from '../../../runtime/depth-batched/step-model.ts';
import type { GraphSession, HostTensor } from '../../../runtime/session.ts';
import type { FakeModel } from './fake-model.ts';

type Feeds = Readonly<Record<string, HostTensor>>;

/**
 * A StepModel over a fake of step.onnx, as its contract says, and of propagate.onnx. Checks all that the contract
 * demands of inputs.
 * @param pages to hand out; `boundaryPages` as many if not given
 */
export function fakeStepModel(model: FakeModel, pages: number, boundaryPages = pages): StepModel {
  const { shape } = model;
  const kinds = [
    ...Array.from({ length: shape.prelude }, () => 'prelude' as const),
    ...Array.from({ length: shape.block }, () => 'block' as const),
    ...Array.from({ length: shape.coda }, () => 'coda' as const),
  ];
  const layers = kinds.map((part, layer) => ({ part, layer }));
  const outputs = [
    'hidden.out',
    ...layers.flatMap(({ layer }) => [`new_key.${layer}`, `new_value.${layer}`]),
    ...['logits', 'confidence', 'next_token'],
  ];
  return createStepModel({
    shape,
    layers,
    step: fakeSession(outputs, (feeds) => runStepGraph(model, feeds)),
    propagate: async () => fakeSession([], (feeds) => runPropagateGraph(model, feeds)),
    pages,
    boundaryPages,
  });
}

function fakeSession(outputs: readonly string[], compute: (feeds: Feeds) => Record<string, HostTensor>): GraphSession {
  let last: Record<string, HostTensor> = {};
  const run = async (feeds: Feeds, wanted?: readonly string[]) => {
    const all = compute(feeds);
    // Whoever still reads what the step before gave, reads this.
    for (const { data } of Object.values(last)) if (data instanceof Float32Array) data.fill(777);
    last = all;
    return Object.fromEntries((wanted ?? Object.keys(all)).map((name) => [name, all[name]!]));
  };
  return {
    inputs: [],
    outputs: outputs.map((name) => ({ name, type: 'f32', dims: [] })),
    run,
    bind: (bound) => ({ run: (feeds, wanted) => run({ ...bound, ...feeds }, wanted) }),
    close: async () => {},
  };
}

function runStepGraph(model: FakeModel, feeds: Feeds): Record<string, HostTensor> {
  const { shape } = model;
  const { prelude, block, coda, loops, hiddenSize, kvHeads, headDim, pageSize, vocabulary } = shape;
  const [rows, tokens] = feeds.input_ids!.dims as [number, number];
  const depths = integers(feeds.depth!, [rows], 0, loops - 1);
  const past = integers(feeds.past_length!, [rows], 0, Number.POSITIVE_INFINITY);
  const ids = integers(feeds.input_ids!, [rows, tokens], 0, vocabulary - 1);
  const positions = integers(feeds.position_ids!, [rows, tokens], 0, Number.POSITIVE_INFINITY);
  same(feeds.hidden!.dims, [rows, tokens, hiddenSize], 'hidden states');
  const given = feeds.hidden!.data as Float32Array;
  invariant(given.every(Number.isFinite), 'hidden states are finite');
  const tables = pageTables(model, feeds, past);
  const boundaryTable = prelude + coda > 0 ? boundaryPages(model, feeds, past) : [];
  const entering = prelude > 0 ? integers(feeds.entering_rows!, undefined, 0, rows - 1) : [];
  const leaving = coda > 0 ? integers(feeds.leaving_rows!, undefined, 0, rows - 1) : [];
  const atFirst = [...depths.keys()].filter((row) => depths[row] === 0);
  if (prelude > 0) same(entering.toSorted(ascending), atFirst, 'entering rows');
  same(new Set(leaving).size, leaving.length, 'leaving rows, each once');
  const heads = integers(feeds.head_rows!, undefined, 0, rows * tokens - 1);
  if (shape.neverEmpty) {
    const given = Object.entries(feeds).filter(([name]) => /_rows$|page_table/.test(name));
    for (const [name, { dims }] of given) invariant(!dims.includes(0), `${name} is empty: ${dims}`);
  }
  if (coda > 0)
    for (const head of heads) invariant(leaving.includes(Math.floor(head / tokens)), 'heads of leaving rows');

  const results: Record<string, HostTensor> = {};
  /** Runs a layer for some rows; `places` are theirs in its outputs. */
  const runLayer = (
    layer: number,
    inBlock: boolean,
    members: readonly number[],
    states: ReadonlyMap<number, Float64Array[]>,
  ) => {
    const made = { key: [] as number[][], value: [] as number[][] };
    for (const row of members) {
      const own = states.get(row)!;
      const depth = inBlock ? depths[row]! : -1;
      let view = 0;
      for (let at = 0; at < past[row]!; at++) {
        const page = (inBlock ? tables : boundaryTable)[row]![Math.floor(at / pageSize)]!;
        const [key, value] = (['key', 'value'] as const).map((kind) =>
          entryOf(feeds, kind, layer, page, at % pageSize),
        );
        view = model.look(view, key!, value!);
      }
      for (let t = 0; t < tokens; t++) {
        const position = positions[row * tokens + t]!;
        const key = model.entry('key', layer, depth, own[t]!, position);
        const value = model.entry('value', layer, depth, own[t]!, position);
        made.key.push(Array.from(key));
        made.value.push(Array.from(value));
        view = model.look(view, key, value);
        own[t] = Float64Array.from(model.behind(layer, depth, own[t]!, view));
      }
    }
    for (const kind of ['key', 'value'] as const) {
      // [rows, tokens, heads, dim] to [rows, heads, tokens, dim]
      const data = new Float32Array(members.length * tokens * kvHeads * headDim);
      made[kind].forEach((entry, flat) => {
        const [row, t] = [Math.floor(flat / tokens), flat % tokens];
        entry.forEach((number, i) => {
          const [head, j] = [Math.floor(i / headDim), i % headDim];
          data[((row * kvHeads + head) * tokens + t) * headDim + j] = number;
        });
      });
      results[`new_${kind}.${layer}`] = { type: 'f32', dims: [members.length, kvHeads, tokens, headDim], data };
    }
  };

  const all = Array.from({ length: rows }, (_, row) => row);
  const states = new Map(
    all.map((row) => [
      row,
      Array.from({ length: tokens }, (_, t) => {
        const flat = row * tokens + t;
        return depths[row] === 0
          ? Float64Array.from(model.embed(ids[flat]!))
          : Float64Array.from(given.subarray(flat * hiddenSize, (flat + 1) * hiddenSize));
      }),
    ]),
  );
  for (let layer = 0; layer < prelude; layer++) runLayer(layer, false, entering, states);
  for (let layer = prelude; layer < prelude + block; layer++) runLayer(layer, true, all, states);
  const hidden = new Float32Array(rows * tokens * hiddenSize);
  for (const row of all) {
    for (const [t, state] of states.get(row)!.entries()) hidden.set(state, (row * tokens + t) * hiddenSize);
  }
  results['hidden.out'] = { type: 'f32', dims: [rows, tokens, hiddenSize], data: hidden };
  for (let layer = prelude + block; layer < prelude + block + coda; layer++) runLayer(layer, false, leaving, states);

  const logits = heads.map((head) => model.logits(states.get(Math.floor(head / tokens))![head % tokens]!));
  const confidences = heads.map((head) => model.confidence(states.get(Math.floor(head / tokens))![head % tokens]!));
  const data = Float32Array.from(logits.flatMap((row) => Array.from(row)));
  const best = logits.map((row) => BigInt(row.indexOf(Math.max(...row))));
  results.logits = { type: 'f32', dims: [heads.length, vocabulary], data };
  results.confidence = { type: 'f32', dims: [heads.length], data: Float32Array.from(confidences) };
  results.next_token = { type: 'i64', dims: [heads.length], data: BigInt64Array.from(best) };
  return results;
}

function runPropagateGraph(model: FakeModel, { hidden, depth, position_ids }: Feeds): Record<string, HostTensor> {
  const { prelude, block, loops, hiddenSize, kvHeads, headDim } = model.shape;
  const count = hidden!.dims[0]!;
  same(hidden!.dims, [count, hiddenSize], 'hidden states');
  const depths = integers(depth!, [count], 0, loops - 1);
  const positions = integers(position_ids!, [count], 0, Number.POSITIVE_INFINITY);
  const results: Record<string, HostTensor> = {};
  for (let layer = prelude; layer < prelude + block; layer++) {
    for (const kind of ['key', 'value'] as const) {
      const data = depths.flatMap((d, i) => {
        const state = (hidden!.data as Float32Array).subarray(i * hiddenSize, (i + 1) * hiddenSize);
        return Array.from(model.entry(kind, layer, d, state, positions[i]!));
      });
      results[`new_${kind}.${layer}`] = { type: 'f32', dims: [count, kvHeads, headDim], data: Float32Array.from(data) };
    }
  }
  return results;
}

/** Pages of every row, out of one table or one for each attention group. */
function pageTables({ shape }: FakeModel, feeds: Feeds, past: readonly number[]): readonly (readonly number[])[] {
  const pageCount = feeds[`key_pages.${shape.prelude}`]!.dims[0]!;
  const names = Array.from({ length: shape.groups }, (_, g) => (shape.groups === 1 ? 'page_table' : `page_table.${g}`));
  const tables = names.flatMap((name) => tableRows(feeds[name]!, pageCount));
  same(tables.length, past.length, 'rows of all groups');
  checkPages(tables, past, shape.pageSize);
  return tables;
}

function boundaryPages({ shape }: FakeModel, feeds: Feeds, past: readonly number[]): readonly (readonly number[])[] {
  const layer = shape.prelude > 0 ? 0 : shape.block;
  const table = tableRows(feeds.boundary_page_table!, feeds[`key_pages.${layer}`]!.dims[0]!);
  checkPages(table, past, shape.pageSize);
  return table;
}

function tableRows(table: HostTensor, pageCount: number): readonly (readonly number[])[] {
  const [rows, width] = table.dims as [number, number];
  const pages = integers(table, [rows, width], 0, pageCount - 1);
  return Array.from({ length: rows }, (_, row) => pages.slice(row * width, (row + 1) * width));
}

function checkPages(tables: readonly (readonly number[])[], past: readonly number[], pageSize: number): void {
  for (const [row, pages] of tables.entries()) {
    for (const [i, page] of pages.entries()) {
      const needed = i * pageSize < past[row]!;
      invariant(page > 0 === needed, `page ${i} of row ${row}, of ${past[row]} positions, is ${page}`);
    }
  }
}

function entryOf(feeds: Feeds, kind: 'key' | 'value', layer: number, page: number, slot: number): readonly number[] {
  const { data, dims } = feeds[`${kind}_pages.${layer}`]!;
  const [, heads, size, dim] = dims as [number, number, number, number];
  const entry: number[] = [];
  for (let head = 0; head < heads; head++) {
    const from = ((page * heads + head) * size + slot) * dim;
    for (let j = 0; j < dim; j++) entry.push(Number(data[from + j]));
  }
  return entry;
}

function integers(
  { type, dims, data }: HostTensor,
  expected: readonly number[] | undefined,
  least: number,
  most: number,
): readonly number[] {
  same(type, 'i64', 'type');
  same(dims, expected ?? dims, 'dims');
  const list = Array.from(data as BigInt64Array, Number);
  same(
    list.length,
    dims.reduce((a, b) => a * b, 1),
    'numbers',
  );
  for (const number of list) invariant(number >= least && number <= most, `${number} is not in ${least} … ${most}`);
  return list;
}

function same(found: unknown, expected: unknown, what: string): void {
  if (!isDeepStrictEqual(found, expected)) invariant(false, `${what}: ${found} instead of ${expected}`);
}

function ascending(a: number, b: number): number {
  return a - b;
}

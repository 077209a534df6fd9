import { describe, expect, test } from 'vitest';
import { createStepModel } from '../../../runtime/depth-batched/create-step-model.ts';
import type { StepRow, StepShape } from '../../../runtime/depth-batched/step-model.ts';
import type { GraphSession, HostTensor } from '../../../runtime/session.ts';

const shape: StepShape = {
  prelude: 0,
  block: 1,
  loops: 2,
  coda: 1,
  hiddenSize: 2,
  vocabulary: 5,
  kvHeads: 2,
  headDim: 2,
  pageSize: 4,
  groups: 1,
  neverEmpty: false,
  dtype: 'f32',
  exits: [1],
};

interface Watched {
  readonly feeds: Readonly<Record<string, HostTensor>>[];
  /** Numbers that the next run gives, by output; all others are 1. */
  readonly results: Map<string, (length: number) => Float32Array | Uint16Array>;
}

/** A model over a graph that gives what it is told to, and keeps what it was given. */
function watched(changes: Partial<StepShape> = {}) {
  const own = { ...shape, ...changes };
  const { hiddenSize, kvHeads, headDim, dtype } = own;
  const state: Watched = { feeds: [], results: new Map() };
  const make = (name: string, dims: readonly number[]): HostTensor => {
    const length = dims.reduce((a, b) => a * b, 1);
    const data = state.results.get(name)?.(length);
    return { type: dtype, dims, data: data ?? new (dtype === 'f16' ? Uint16Array : Float32Array)(length).fill(1) };
  };
  const session = (bound: Readonly<Record<string, HostTensor>>): GraphSession => ({
    inputs: [],
    outputs: [],
    close: async () => {},
    bind: (more) => session({ ...bound, ...more }),
    run: async (given) => {
      const feeds = { ...bound, ...given };
      state.feeds.push(Object.fromEntries(Object.entries(feeds).map(([k, t]) => [k, { ...t, data: t.data.slice() }])));
      if (feeds.input_ids === undefined) {
        const [count] = feeds.hidden!.dims as [number];
        const dims = [count, kvHeads, headDim];
        return { 'new_key.0': make('propagated', dims), 'new_value.0': make('propagated', dims) };
      }
      const [rows, tokens] = feeds.input_ids.dims as [number, number];
      const leaving = feeds.leaving_rows!.dims[0]!;
      const heads = feeds.head_rows!.dims[0]!;
      return {
        'hidden.out': make('hidden.out', [rows, tokens, hiddenSize]),
        'new_key.0': make('new_key.0', [rows, kvHeads, tokens, headDim]),
        'new_value.0': make('new_value.0', [rows, kvHeads, tokens, headDim]),
        'new_key.1': make('new_key.1', [leaving, kvHeads, tokens, headDim]),
        'new_value.1': make('new_value.1', [leaving, kvHeads, tokens, headDim]),
        confidence: { type: 'f32', dims: [heads], data: new Float32Array(heads) },
        next_token: { type: 'i64', dims: [heads], data: new BigInt64Array(heads) },
      };
    },
  });
  const layers = [
    { part: 'block', layer: 0 },
    { part: 'coda', layer: 1 },
  ] as const;
  const model = createStepModel({
    shape: own,
    layers: [...layers],
    step: session({}),
    propagate: async () => session({}),
    pages: 4,
    boundaryPages: 2,
  });
  const pages = async (name: string) => {
    await model.run([row({})], { logits: false });
    return state.feeds.at(-1)![name]!.data;
  };
  return { model, ...state, pages };
}

function row(changes: Partial<StepRow>): StepRow {
  return {
    depth: 0,
    position: 0,
    tokens: [3],
    pages: [1, 2],
    boundaryPages: [1, 2],
    hidden: undefined,
    leaving: false,
    heads: [],
    ...changes,
  };
}

const numbers = (tensor: HostTensor | undefined) => Array.from(tensor!.data as Float32Array, Number);

describe('inputs', () => {
  test('rows of several tokens are padded to whole vectors, with zeros', async () => {
    const { model, feeds } = watched();
    await model.run([row({ tokens: [4, 4, 4, 4, 4] })], { logits: false });
    // The array is used again: what was in it must not show.
    const hidden = Float32Array.of(1, 2, 3, 4);
    await model.run([row({ tokens: [1, 2], position: 5, depth: 1, hidden, heads: [1], leaving: true })], {
      logits: false,
    });
    const [, feed] = feeds;
    expect(feed!.input_ids!.dims).toEqual([1, 16]);
    expect(numbers(feed!.input_ids)).toEqual([1, 2, ...zeros(14)]);
    expect(numbers(feed!.position_ids)).toEqual([5, 6, ...zeros(14)]);
    expect(numbers(feed!.hidden)).toEqual([1, 2, 3, 4, ...zeros(28)]);
    expect(numbers(feed!.head_rows)).toEqual([1]);
  });

  test('rows of one token are not padded, and depth 0 reads no state', async () => {
    const { model, feeds } = watched();
    await model.run([row({ depth: 1, hidden: Float32Array.of(7, 8) })], { logits: false });
    await model.run([row({})], { logits: false });
    expect(feeds[1]!.input_ids!.dims).toEqual([1, 1]);
    expect(numbers(feeds[1]!.hidden)).toEqual([0, 0]);
  });

  test('page tables are as wide as the longest past, and padded with page 0', async () => {
    const { model, feeds } = watched();
    await model.run([row({ position: 5 }), row({ position: 4, pages: [3, 4] }), row({ pages: [] })], { logits: false });
    expect(feeds[0]!.page_table!.dims).toEqual([3, 2]);
    expect(numbers(feeds[0]!.page_table)).toEqual([1, 2, 3, 0, 0, 0]);
    await model.run([row({})], { logits: false });
    expect(feeds[1]!.page_table!.dims).toEqual([1, 0]);
  });
});

describe('entries', () => {
  const counting = (length: number) => Float32Array.from({ length }, (_, i) => i + 1);

  test('go to their heads and places, over the end of a page', async () => {
    const { model, results, pages } = watched();
    results.set('new_key.0', counting);
    await model.run([row({ tokens: [1, 2, 3], position: 3 })], { logits: false });
    model.write([{ part: 'block', row: 0, firstToken: 0, tokens: 3, pages: [2, 4], position: 3 }]);
    const found = await pages('key_pages.0');
    const entry = (page: number, head: number, slot: number) => {
      const at = ((page * 2 + head) * 4 + slot) * 2;
      return Array.from(found.slice(at, at + 2), Number);
    };
    // Of [rows, heads, 16 tokens, 2].
    expect([entry(2, 0, 3), entry(4, 0, 0), entry(4, 0, 1)]).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect([entry(2, 1, 3), entry(4, 1, 0), entry(4, 1, 1)]).toEqual([
      [33, 34],
      [35, 36],
      [37, 38],
    ]);
    expect(Array.from(found, Number).filter((number) => number !== 0)).toHaveLength(12);
  });

  test('of odd sizes, and of float16, too', async () => {
    for (const changes of [{ headDim: 3 }, { dtype: 'f16' }, { dtype: 'f16', headDim: 4 }] as const) {
      const { model, results, pages } = watched(changes);
      const make = (length: number) => {
        const all = counting(length);
        return 'dtype' in changes ? Uint16Array.from(all) : all;
      };
      results.set('new_key.0', make);
      await model.run([row({}), row({})], { logits: false });
      model.write([{ part: 'block', row: 1, firstToken: 0, tokens: 1, pages: [1], position: 2 }]);
      const size = 'headDim' in changes ? changes.headDim : 2;
      const found = Array.from(await pages('key_pages.0'), Number).slice(8 * size, 16 * size);
      const entry = (head: number) => found.slice((head * 4 + 2) * size, (head * 4 + 3) * size);
      const own = Array.from(make(4 * size).slice(2 * size), Number);
      expect([...entry(0), ...entry(1)], JSON.stringify(changes)).toEqual(own);
    }
  });

  test('to a position without a page are our mistake', async () => {
    const { model } = watched();
    await model.run([row({})], { logits: false });
    const write = { part: 'block', row: 0, firstToken: 0, tokens: 1, position: 0 } as const;
    expect(() => model.write([{ ...write, pages: [] }])).toThrow('no page');
    expect(() => model.write([{ ...write, pages: [0] }])).toThrow('no page');
  });

  test.each([
    ['the block', 'hidden.out', 'key_pages.0', 'block', 'f32'],
    ['the coda', 'new_value.1', 'value_pages.1', 'coda', 'f32'],
    ['the block, in float16', 'hidden.out', 'key_pages.0', 'block', 'f16'],
  ] as const)('that are not finite, of %s, are gone when the page is somebody else’s', async (_, output, name, part, dtype) => {
    const { model, results, pages } = watched({ dtype });
    const write = { part, row: 0, firstToken: 0, tokens: 1, pages: [2] } as const;
    const leaving = row({ leaving: true });
    const spoil = (length: number) =>
      dtype === 'f16' ? new Uint16Array(length).fill(0x7e00) : new Float32Array(length).fill(Number.NaN);
    for (const tensor of [output, `new_key.${part === 'coda' ? 1 : 0}`, `new_value.${part === 'coda' ? 1 : 0}`]) {
      results.set(tensor, spoil);
    }
    await model.run([leaving], { logits: false });
    model.write([{ ...write, position: 3 }]);
    results.clear();
    await model.run([leaving], { logits: false });
    model.write([{ ...write, position: 2 }]);
    const nonzero = async () => Array.from(await pages(name), Number).filter((n) => n !== 0);
    // As long as the page is theirs, only their own numbers suffer.
    expect(await nonzero()).toHaveLength(8);
    await model.run([leaving], { logits: false });
    model.write([{ ...write, position: 0 }]);
    expect(await nonzero()).toEqual([1, 1, 1, 1]);
  });

  test('of skipped depths come from the states that tokens left with', async () => {
    const { model, feeds, results, pages } = watched();
    expect(await model.propagate([])).toBe(0);
    expect(feeds).toHaveLength(0);
    results.set('propagated', counting);
    const hidden = Float32Array.of(5, 6);
    await model.propagate([
      { hidden, depth: 1, position: 4, pages: [1, 3] },
      { hidden, depth: 1, position: 0, pages: [2] },
    ]);
    const [feed] = feeds;
    expect([feed!.hidden, feed!.depth, feed!.position_ids].map(numbers)).toEqual([
      [5, 6, 5, 6],
      [1, 1],
      [4, 0],
    ]);
    const found = Array.from(await pages('value_pages.0'), Number);
    const page = (number: number) => found.slice(number * 16, (number + 1) * 16);
    expect(page(3)).toEqual([1, 2, ...zeros(6), 3, 4, ...zeros(6)]);
    expect(page(2)).toEqual([5, 6, ...zeros(6), 7, 8, ...zeros(6)]);
  });
});

function zeros(length: number): readonly number[] {
  return Array.from({ length }, () => 0);
}

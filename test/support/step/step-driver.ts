import type { Recursion } from '../../../compiler/read/source-model.ts';
import { evaluateDim } from '../../../ir/dims.ts';
import type { Graph } from '../../../ir/graph.ts';
import { makeTensor, type Tensor } from '../../../ir/interpret/tensor.ts';
import { randomStream } from '../random.ts';
import type { StepRow, StepRows } from './random-steps.ts';

export interface StepDriverOptions {
  /** A step graph at any stage; what it is, its inputs say. */
  readonly graph: Pick<Graph, 'inputs'>;
  readonly run: (inputs: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;
  readonly recursion: Recursion;
  readonly sequences: readonly (readonly number[])[];
  /** Of everything that must not matter: page numbers, orders of lists, what lies in unused places. */
  readonly seed: string;
}

/** What came out for one token. */
export interface TokenResult {
  /** By loop, from 0: the hidden state behind it. */
  readonly hidden: (readonly number[])[];
  /** By loop, from 0; where the token had a head there. */
  readonly logits: (readonly number[] | undefined)[];
  readonly confidence: (number | undefined)[];
  readonly next: (number | undefined)[];
}

export interface StepDriver {
  /** Runs one call. `headAt` says of which rows all tokens want logits; those at the last loop always do. */
  readonly step: (rows: StepRows, headAt?: (row: StepRow) => boolean) => Promise<void>;
  /** By sequence and position. */
  readonly tokens: readonly (readonly TokenResult[])[];
  /** Keys or values [kv_heads, positions, head_dim] of a stored layer and sequence as they lie in its pages. */
  readonly cache: (part: 'key' | 'value', layer: number, sequence: number, depth: number) => Tensor;
}

/**
 * The plainest host of a step graph: sequences with pages for all their tokens, tensors made anew for every call, and
 * whatever must not matter filled with nonsense that a call might stumble over.
 */
export function stepDriver({ graph, run, recursion, sequences, seed }: StepDriverOptions): StepDriver {
  const random = randomStream(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const shuffled = <T>(list: readonly T[]): readonly T[] =>
    list
      .map((x) => [random(), x] as const)
      .toSorted(([a], [b]) => a - b)
      .map(([, x]) => x);
  const { prelude, block, loops, coda } = recursion;
  const names = new Set(graph.inputs.map(({ name }) => name));
  const dimsOf = (name: string) => graph.inputs.find((input) => input.name === name)!.type;
  const [, heads, pageSize, width] = dimsOf('key_pages.0').dims as [unknown, number, number, number];
  const hiddenSize = dimsOf('hidden').dims[2] as number;
  const vocabulary = Math.max(...sequences.flat()) + 1;
  const isBoundary = (layer: number) => layer < prelude || layer >= prelude + block;

  // Pages of every sequence and depth, any numbers but 0, which stays zero.
  const pagesEach = Math.max(...sequences.map((tokens) => Math.ceil(tokens.length / pageSize)));
  const blockCount = 1 + sequences.length * loops * pagesEach;
  const boundaryCount = 1 + sequences.length * pagesEach;
  const numbers = (count: number) => shuffled(Array.from({ length: count - 1 }, (_, i) => i + 1));
  const [blockPages, boundaryPages] = [numbers(blockCount), numbers(boundaryCount)];
  const pagesOf = (sequence: number, depth: number | undefined) => {
    const [list, at] = depth === undefined ? [boundaryPages, sequence] : [blockPages, sequence * loops + depth];
    return list.slice(at * pagesEach, (at + 1) * pagesEach);
  };
  const pools = new Map<string, Float64Array>();
  for (const { name, type } of graph.inputs) {
    if (!/^(key|value)_pages/.test(name)) continue;
    const count = evaluateDim(
      type.dims[0]!,
      new Map(Object.entries({ page_count: blockCount, boundary_page_count: boundaryCount })),
    );
    const size = count * heads * pageSize * width;
    pools.set(
      name,
      Float64Array.from({ length: size }, (_, i) => (i < heads * pageSize * width ? 0 : 2 * random() - 1)),
    );
  }
  const entryAt = (page: number, head: number, slot: number) => ((page * heads + head) * pageSize + slot) * width;

  const tokens = sequences.map((list) =>
    list.map((): TokenResult => ({ hidden: [], logits: [], confidence: [], next: [] })),
  );

  const step: StepDriver['step'] = async (groups, headAt = () => false) => {
    const rows = groups.flat();
    const width0 = Math.max(1, ...rows.map(({ count }) => count)) + below(2);
    const ints = (count: number, value: (i: number) => number) =>
      Float64Array.from({ length: count }, (_, i) => value(i));
    const perToken = (value: (row: StepRow, t: number) => number) =>
      makeTensor(
        'i64',
        [rows.length, width0],
        rows.flatMap((row) =>
          Array.from({ length: width0 }, (_, t) => (t < row.count ? value(row, t) : below(vocabulary))),
        ),
      );
    const table = (list: readonly StepRow[], depthOf: (row: StepRow) => number | undefined, count: number) => {
      const wide = Math.max(0, ...list.map(({ from }) => Math.ceil(from / pageSize))) + below(2);
      const entries = list.flatMap((row) => {
        const used = Math.ceil(row.from / pageSize);
        const own = pagesOf(row.sequence, depthOf(row)).slice(0, used);
        return [...own, ...Array.from({ length: wide - used }, () => below(count))];
      });
      return makeTensor('i64', [list.length, wide], entries);
    };
    const last = (row: StepRow) => row.depth === loops - 1;
    const asks = (row: StepRow) => last(row) || headAt(row);
    const places = (test: (row: StepRow) => boolean) => shuffled(rows.flatMap((row, r) => (test(row) ? [r] : [])));
    const entering = places((row) => row.depth === 0);
    const leaving = places(asks);
    const headRows = shuffled(
      rows.flatMap((row, r) => (asks(row) ? Array.from({ length: row.count }, (_, t) => r * width0 + t) : [])),
    );

    const inputs = new Map<string, Tensor>([
      [
        'input_ids',
        perToken((row, t) => (row.depth === 0 ? sequences[row.sequence]![row.from + t]! : below(vocabulary))),
      ],
      [
        'hidden',
        makeTensor(
          dimsOf('hidden').dtype,
          [rows.length, width0, hiddenSize],
          rows.flatMap((row) => {
            return Array.from({ length: width0 }, (_, t) =>
              row.depth > 0 && t < row.count
                ? tokens[row.sequence]![row.from + t]!.hidden[row.depth - 1]!
                : Array.from({ length: hiddenSize }, () => 2 * random() - 1),
            ).flat();
          }),
        ),
      ],
      [
        'depth',
        makeTensor(
          'i64',
          [rows.length],
          ints(rows.length, (r) => rows[r]!.depth),
        ),
      ],
      ['position_ids', perToken((row, t) => row.from + t)],
      [
        'past_length',
        makeTensor(
          'i64',
          [rows.length],
          ints(rows.length, (r) => rows[r]!.from),
        ),
      ],
      ...groups.map((list, g): [string, Tensor] => [
        groups.length === 1 ? 'page_table' : `page_table.${g}`,
        table(list, ({ depth }) => depth, blockCount),
      ]),
      ['boundary_page_table', table(rows, () => undefined, boundaryCount)],
      ['entering_rows', makeTensor('i64', [entering.length], entering)],
      ['leaving_rows', makeTensor('i64', [leaving.length], leaving)],
      ['head_rows', makeTensor('i64', [headRows.length], headRows)],
    ]);
    for (const [name, data] of pools) {
      const { dtype } = dimsOf(name);
      inputs.set(
        name,
        makeTensor(dtype, [data.length / (heads * pageSize * width), heads, pageSize, width], data.slice()),
      );
    }
    const outputs = await run(new Map([...inputs].filter(([name]) => names.has(name))));

    const hidden = outputs.get('hidden.out')!.data;
    rows.forEach((row, r) => {
      for (let t = 0; t < row.count; t++) {
        const at = (r * width0 + t) * hiddenSize;
        tokens[row.sequence]![row.from + t]!.hidden[row.depth] = Array.from(hidden.subarray(at, at + hiddenSize));
      }
    });
    const [logits, confidence, next] = ['logits', 'confidence', 'next_token'].map((name) => outputs.get(name)!);
    headRows.forEach((flat, h) => {
      const row = rows[Math.floor(flat / width0)]!;
      const token = tokens[row.sequence]![row.from + (flat % width0)]!;
      const size = logits!.shape[1]!;
      token.logits[row.depth] = Array.from(logits!.data.subarray(h * size, (h + 1) * size));
      token.confidence[row.depth] = confidence!.data[h]!;
      token.next[row.depth] = next!.data[h]!;
    });
    for (let layer = 0; layer < prelude + block + coda; layer++) {
      const listed = layer < prelude ? entering : layer < prelude + block ? rows.map((_, r) => r) : leaving;
      for (const part of ['key', 'value'] as const) {
        const fresh = outputs.get(`new_${part}.${layer}`)!;
        const pool = pools.get(`${part}_pages.${layer}`)!;
        listed.forEach((r, i) => {
          const row = rows[r]!;
          // A coda's entries of a token are those of the loop that it left behind.
          if (layer >= prelude + block && !last(row)) return;
          const pages = pagesOf(row.sequence, isBoundary(layer) ? undefined : row.depth);
          for (let head = 0; head < heads; head++) {
            for (let t = 0; t < row.count; t++) {
              const position = row.from + t;
              const from = ((i * heads + head) * width0 + t) * width;
              const to = entryAt(pages[Math.floor(position / pageSize)]!, head, position % pageSize);
              pool.set(fresh.data.subarray(from, from + width), to);
            }
          }
        });
      }
    }
  };

  return {
    step,
    tokens,
    cache(part, layer, sequence, depth) {
      const pool = pools.get(`${part}_pages.${layer}`)!;
      const pages = pagesOf(sequence, isBoundary(layer) ? undefined : depth);
      const { length } = sequences[sequence]!;
      const data = new Float64Array(heads * length * width);
      for (let head = 0; head < heads; head++) {
        for (let position = 0; position < length; position++) {
          const from = entryAt(pages[Math.floor(position / pageSize)]!, head, position % pageSize);
          data.set(pool.subarray(from, from + width), (head * length + position) * width);
        }
      }
      return makeTensor('f32', [heads, length, width], data);
    },
  };
}

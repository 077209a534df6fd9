import type { PackageManifest } from '../../files/manifest.ts';
import { mainGraph } from '../../files/package.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { cacheKinds, entriesOfRow, newEntries, presentOf, type SequenceEntries } from './cache-entries.ts';
import { type InputType, liesIn, type OpenDecoder, type SizeRange } from './call.ts';
import { type FeedRow, feedStep, type StepFeeds } from './step-feeds.ts';

/** A package of the form `depth-batched` as the loop form has it: an axis of depths in the caches of the block. */
export function loopView(manifest: PackageManifest): PackageManifest {
  const { cache, recursion } = manifest;
  const layers = cache.layers.map((layer) => (layer.part === 'block' ? { ...layer, loops: recursion.loops } : layer));
  return { ...manifest, form: 'loop', cache: { ...cache, layers } };
}

/**
 * Drives a step graph so that it has the interface and the meaning of the loop form: whatever checks that form checks
 * this one. Rows start one after the other, so that calls have rows at different depths and of different lengths. Under
 * a threshold tokens are fed one by one, since they may leave behind different loops. Where the step takes only some
 * sizes, what it cannot take at once it takes one after the other: prompts in chunks, rows in later steps.
 */
export function stepDecoder(step: OpenDecoder, manifest: PackageManifest): OpenDecoder {
  return {
    inputs: loopInputs(manifest),
    run: (feeds) => runLoops(step, manifest, feeds),
    close: step.close,
  };
}

function loopInputs(manifest: PackageManifest): readonly InputType[] {
  const { cache } = loopView(manifest);
  const ids = (name: string, dims: InputType['dims']): InputType => ({ name, dtype: 'i64', dims });
  return [
    ids('input_ids', ['batch', 'sequence']),
    ids('attention_mask', ['batch', 'columns']),
    ids('position_ids', ['batch', 'sequence']),
    ...cache.layers.flatMap(({ loops }, layer) =>
      cacheKinds.map((kind) => ({
        name: `past_key_values.${layer}.${kind}`,
        dtype: cache.dtype,
        dims: [...(loops === undefined ? [] : [loops]), 'batch', cache.heads, 'past', cache.headDim],
      })),
    ),
    ids('max_loops', []),
    { name: 'exit_threshold', dtype: 'f32', dims: [] },
  ];
}

/** A row of the batch. */
interface Sequence {
  /** Among the columns of past and new tokens together: those that are tokens, in order. */
  readonly columns: readonly number[];
  /** How many of them are the past. */
  readonly past: number;
  /** What it has read so far, the tokens of this call as they come. */
  readonly entries: SequenceEntries;
}

/** Some tokens of a sequence on their way through the loops. */
interface Runner {
  readonly sequence: number;
  /** The first of them among the new tokens of its sequence. */
  readonly first: number;
  readonly ids: readonly number[];
  readonly positions: readonly number[];
  /** Calls until it starts. */
  delay: number;
  /** Loops that it has run. */
  depth: number;
  /** By token; empty before the first loop. */
  hidden: readonly Float64Array[];
}

async function runLoops(
  step: OpenDecoder,
  manifest: PackageManifest,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<ReadonlyMap<string, Tensor>> {
  const { recursion, cache, exits } = manifest;
  const { loops } = recursion;
  const [ids, mask] = [feeds.get('input_ids')!, feeds.get('attention_mask')!];
  const [batch, width] = ids.shape as [number, number];
  const length = mask.shape[1]!;
  const past = length - width;
  const limit = Math.min(Math.max(feeds.get('max_loops')!.data[0]!, 1), loops);
  const threshold = feeds.get('exit_threshold')!.data[0]!;
  const mayLeave = threshold < 1;
  const vocabulary = Number(
    mainGraph(manifest)
      .outputs.find(({ name }) => name === 'logits')
      ?.dims.at(-1) ?? 0,
  );
  const logits = new Float64Array(batch * width * vocabulary);
  const confidence = new Float64Array(batch * width);
  const nextToken = new Float64Array(batch * width);
  const exitLoop = new Float64Array(batch * width).fill(limit);

  const sequences = Array.from({ length: batch }, (_, b): Sequence => {
    const columns = [...mask.data.subarray(b * length, (b + 1) * length).keys()].filter(
      (column) => mask.data[b * length + column] === 1,
    );
    const before = columns.filter((column) => column < past);
    return { columns, past: before.length, entries: entriesOfRow(manifest, feeds, b, before) };
  });
  /** Where the t-th new token of a sequence is among all [batch, width]. */
  const placeOf = (sequence: number, t: number): number => {
    const { columns, past: before } = sequences[sequence]!;
    return sequence * width + columns[before + t]! - past;
  };

  const rowOf = ({ sequence, first, depth, ...runner }: Runner): FeedRow => {
    const { entries, past: before } = sequences[sequence]!;
    const visible = before + first;
    const mayLeaveHere = mayLeave && (exits?.after.includes(depth + 1) ?? false);
    return {
      ...runner,
      depth,
      past: cache.layers.map(({ part }, layer) => {
        const { key, value } = entries[part === 'block' ? depth : 0]![layer]!;
        return { key: key.slice(0, visible), value: value.slice(0, visible) };
      }),
      leaving: depth + 1 === limit || mayLeaveHere,
    };
  };

  /** Runs as many of the runners, from the first on, as one step takes; the others wait. */
  const runStep = async (ready: readonly Runner[]): Promise<void> => {
    const { rows, fed } = mostThatFit(step, manifest, ready.map(rowOf));
    const runners = ready.slice(0, rows.length);
    const outputs = await step.run(fed.feeds);
    const tokens = outputs.get('hidden.out')!.shape[1]!;
    runners.forEach((runner, i) => {
      const { sequence, depth } = runner;
      const { entries } = sequences[sequence]!;
      const count = runner.ids.length;
      const head = fed.heads[i]!;
      const sure = () => outputs.get('confidence')!.data[head]! >= threshold;
      const leaves = rows[i]!.leaving && (depth + 1 === limit || sure());
      cache.layers.forEach(({ part }, layer) => {
        const place = { prelude: fed.entering[i]!, block: i, coda: leaves ? fed.leaving[i]! : -1 }[part];
        if (place < 0) return;
        for (const kind of cacheKinds) {
          const made = newEntries(cache, outputs.get(`new_${kind}.${layer}`)!, place, count);
          entries[part === 'block' ? depth : 0]![layer]![kind].push(...made);
          // The policy `last-exited`: deeper depths get what this one has.
          if (leaves && part === 'block') entries.slice(depth + 1).forEach((at) => void at[layer]![kind].push(...made));
        }
      });
      if (!leaves) {
        runner.depth += 1;
        runner.hidden = rowsOf(outputs.get('hidden.out')!, i * tokens, count);
        return;
      }
      runner.depth = loops;
      for (let t = 0; t < count; t++) {
        const place = placeOf(sequence, runner.first + t);
        const from = (head + t) * vocabulary;
        logits.set(outputs.get('logits')!.data.subarray(from, from + vocabulary), place * vocabulary);
        confidence[place] = outputs.get('confidence')?.data[head + t] ?? Number.NaN;
        nextToken[place] = outputs.get('next_token')?.data[head + t] ?? Number.NaN;
        exitLoop[place] = depth + 1;
      }
    });
  };

  /** `count` new tokens of every sequence that has so many, from the `first` on. */
  const runTokens = async (first: number, count: number): Promise<void> => {
    let going = sequences.flatMap(({ columns, past: before }, sequence): readonly Runner[] => {
      const own = Math.min(count, columns.length - before - first);
      if (own <= 0) return [];
      const places = Array.from({ length: own }, (_, t) => placeOf(sequence, first + t));
      const read = (name: string) => places.map((place) => feeds.get(name)!.data[place]!);
      const started = { delay: sequence % loops, depth: 0, hidden: [] };
      return [{ ...started, sequence, first, ids: read('input_ids'), positions: read('position_ids') }];
    });
    while (going.length > 0) {
      const ready = going.filter((runner) => runner.delay-- <= 0);
      if (ready.length > 0) await runStep(ready);
      going = going.filter(({ depth }) => depth < loops);
    }
  };
  const chunk = mayLeave ? 1 : Math.min(width, mostTokens(step));
  for (let t = 0; t < width; t += chunk) await runTokens(t, chunk);

  const outputs = new Map<string, Tensor>([
    ['logits', makeTensor('f32', [batch, width, vocabulary], logits)],
    ['exit_loop', makeTensor('i64', [batch, width], exitLoop)],
    // What the loop form has not, and a host decides by.
    ['confidence', makeTensor('f32', [batch, width], confidence)],
    ['next_token', makeTensor('i64', [batch, width], nextToken)],
  ]);
  for (const layer of cache.layers.keys()) {
    for (const kind of cacheKinds) {
      outputs.set(`present.${layer}.${kind}`, presentOf(manifest, sequences, layer, kind, length));
    }
  }
  return outputs;
}

const anySize: SizeRange = { least: {}, most: {} };

/** Tokens of a row that a step takes at most. */
function mostTokens({ sizes }: OpenDecoder): number {
  return Math.max(...(sizes?.() ?? [anySize]).map(({ most }) => most.tokens ?? Number.POSITIVE_INFINITY));
}

/** The first rows, as many as a step takes together, in the first of the ranges that takes so many. */
function mostThatFit(
  { inputs, sizes }: OpenDecoder,
  manifest: PackageManifest,
  rows: readonly FeedRow[],
): { readonly rows: readonly FeedRow[]; readonly fed: StepFeeds } {
  const ranges = sizes?.() ?? [anySize];
  for (let count = rows.length; count > 1; count--) {
    const some = rows.slice(0, count);
    for (const range of ranges) {
      const fed = feedStep(manifest, inputs, some, range.least);
      if (liesIn(range, inputs, fed.feeds)) return { rows: some, fed };
    }
  }
  const one = rows.slice(0, 1);
  const tried = ranges.map((range) => ({ range, fed: feedStep(manifest, inputs, one, range.least) }));
  // What not even one row fits into is for the decoder to refuse, which knows whose sizes they are.
  const found = tried.find(({ range, fed }) => liesIn(range, inputs, fed.feeds)) ?? tried[0]!;
  return { rows: one, fed: found.fed };
}

/** Rows of a tensor [.., size] that follow each other. */
function rowsOf({ shape, data }: Tensor, first: number, count: number): readonly Float64Array[] {
  const size = shape.at(-1)!;
  return Array.from({ length: count }, (_, i) => data.slice((first + i) * size, (first + i + 1) * size));
}

import { defaultNewTokens, type GenerateOptions, roomFor } from './generate-options.ts';
import type { TokenStream } from './generation.ts';
import { emptyCache, nextCache, takeRows } from './kv-cache.ts';
import type { LoadedGraph } from './load-package.ts';
import { padPrompts } from './padding.ts';
import { chooseToken } from './sampling.ts';
import type { HostTensor } from './session.ts';

/** A sequence that still grows. */
interface Row {
  readonly sequence: number;
  /** Position of its next token. */
  readonly position: number;
  readonly left: number;
  /** The attention mask of all columns that it will ever have: 0 where its prompt is padded, else 1. */
  readonly mask: BigInt64Array;
}

/**
 * The forms `unrolled` and `loop`: the prompts in one call of the graph, then one call for each further token. Rows whose
 * sequence has ended leave the batch.
 */
export async function* generateInBatch(
  loaded: LoadedGraph,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): TokenStream {
  const { manifest, session } = loaded;
  const sequences = prompts.map((prompt) => ({ prompt, tokens: [] as number[], exits: [] as number[] }));
  const endTokens = new Set(options.ignoreEos ? [] : loaded.endTokens);
  const started = performance.now();

  const batch = padPrompts(prompts, options.padding ?? 'left');
  let rows: readonly Row[] = prompts.map(({ length }, sequence) => {
    const left = Math.min(options.maxNewTokens ?? defaultNewTokens, roomFor(manifest, length));
    const mask = new BigInt64Array(batch.width + left).fill(1n);
    mask.set(batch.attentionMask.subarray(sequence * batch.width, (sequence + 1) * batch.width));
    return { sequence, position: length, left, mask };
  });
  let cache = emptyCache(manifest, rows.length);
  let columns = batch.width;
  let width = batch.width;
  let ids = batch.inputIds;
  let positions = batch.positionIds;
  let last = batch.last;
  let calls = 0;
  let rowsRun = 0;

  while (true) {
    options.signal?.throwIfAborted();
    const shape = [rows.length, width];
    const outputs = await session.run({
      input_ids: { type: 'i64', dims: shape, data: ids },
      attention_mask: { type: 'i64', dims: [rows.length, columns], data: attentionMask(rows, columns) },
      position_ids: { type: 'i64', dims: shape, data: positions },
      ...(manifest.form === 'loop' ? loopInputs(loaded, options, calls === 0) : {}),
      ...cache,
    });
    calls += 1;
    rowsRun += rows.length;

    const chosen = rows.map((row, i) => {
      const column = i * width + last[i]!;
      const { tokens, exits } = sequences[row.sequence]!;
      const logits = rowOf(outputs.logits!, column);
      const token = chooseToken(logits, options.sampling ?? { kind: 'greedy' }, row.sequence, tokens.length);
      const exit = outputs.exit_loop ? Number(outputs.exit_loop.data[column]) : manifest.recursion.loops;
      tokens.push(token);
      exits.push(exit);
      return { sequence: row.sequence, token, exit, last: row.left === 1 || endTokens.has(token) };
    });
    yield* chosen;

    const going = rows.map((_, i) => i).filter((i) => !chosen[i]!.last);
    if (going.length === 0) break;
    cache = nextCache(manifest, outputs);
    if (going.length < rows.length) cache = takeRows(manifest, cache, going);
    ids = BigInt64Array.from(going, (i) => BigInt(chosen[i]!.token));
    positions = BigInt64Array.from(going, (i) => BigInt(rows[i]!.position));
    rows = going.map((i) => ({ ...rows[i]!, position: rows[i]!.position + 1, left: rows[i]!.left - 1 }));
    last = going.map(() => 0);
    width = 1;
    columns += 1;
  }
  return { sequences, steps: calls, rows: rowsRun, seconds: (performance.now() - started) / 1000 };
}

/** Prompt tokens run all loops, so that what follows sees the keys and values of every depth. */
function loopInputs(
  { manifest }: LoadedGraph,
  { exitThreshold, exitAt }: GenerateOptions,
  prompt: boolean,
): Readonly<Record<string, HostTensor>> {
  const { loops } = manifest.recursion;
  const maxLoops = prompt ? loops : (exitAt ?? loops);
  const threshold = prompt || exitAt !== undefined ? 1 : (exitThreshold ?? manifest.exits?.threshold ?? 1);
  return {
    max_loops: { type: 'i64', dims: [], data: BigInt64Array.of(BigInt(maxLoops)) },
    exit_threshold: { type: 'f32', dims: [], data: Float32Array.of(threshold) },
  };
}

/** One position of logits [batch, sequence, vocab], by its place among all positions. */
function rowOf(logits: HostTensor, position: number): Float32Array {
  const vocabulary = logits.dims[2]!;
  return (logits.data as Float32Array).subarray(position * vocabulary, (position + 1) * vocabulary);
}

/** attention_mask [rows, columns] */
function attentionMask(rows: readonly Row[], columns: number): BigInt64Array {
  const masks = new BigInt64Array(rows.length * columns);
  rows.forEach(({ mask }, i) => {
    masks.set(mask.subarray(0, columns), i * columns);
  });
  return masks;
}

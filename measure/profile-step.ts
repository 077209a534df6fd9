import type { StepProfile } from '../files/step-profile.ts';
import type { StepModel, StepRow } from '../runtime/depth-batched/step-model.ts';
import { medianOf } from './statistics.ts';

export interface ProfileOptions {
  /** Rows of a step to time at most; 1, 2, 4 … and itself are. */
  readonly maxRows: number;
  /** Prompt tokens of a row to time at most. */
  readonly maxPromptTokens: number;
  /** Positions behind a row. */
  readonly context: number;
  /** How often everything is timed, in turn. */
  readonly rounds: number;
  /** Whether the package has a graph for the KV policy `propagate`. */
  readonly propagate: boolean;
  readonly deadline?: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (round: number) => void;
}

interface Timed {
  readonly run: () => Promise<number>;
  readonly times: number[];
}

/**
 * Times the parts of a step by how much they are asked to do; the medians of all rounds. Uses pages of the model as they
 * are and writes into some, so no sequence may be on its way.
 */
export async function profileStep(model: StepModel, options: ProfileOptions): Promise<StepProfile> {
  const counts = doublings(1, options.maxRows);
  const pass = (rows: readonly StepRow[]): Timed => ({
    run: async () => (await model.run(rows, { logits: false })).milliseconds,
    times: [],
  });
  const passes = counts.map((count) => pass(decodingRows(model, options.context, count, 0)));
  const heads = counts.map((count) => pass(decodingRows(model, options.context, count, count)));
  const tokens = doublings(16, options.maxPromptTokens);
  const prompts = tokens.map((count) => pass([promptRow(count)]));
  const skipped = options.propagate ? counts.map((count) => propagation(model, count)) : [];
  const all = [...passes, ...heads, ...prompts, ...skipped];
  for (const { run } of all) await run();
  for (let round = 1; round <= options.rounds; round++) {
    if (options.signal?.aborted || (round > 1 && performance.now() > (options.deadline ?? Number.POSITIVE_INFINITY))) {
      break;
    }
    options.onRound?.(round);
    for (const { run, times } of round % 2 === 0 ? all.toReversed() : all) times.push(await run());
  }
  // A time of exactly nothing would be no time; the clock is finer than this.
  const middle = ({ times }: Timed) => Math.max(1e-6, medianOf(times));
  return {
    context: options.context,
    passes: counts.map((rows, i) => ({ rows, milliseconds: middle(passes[i]!) })),
    heads: counts.map((count, i) => ({
      heads: count,
      milliseconds: Math.max(1e-6, medianOf(heads[i]!.times.map((time, j) => time - passes[i]!.times[j]!))),
    })),
    prompt: tokens.map((count, i) => ({ tokens: count, milliseconds: middle(prompts[i]!) })),
    ...(skipped.length === 0
      ? {}
      : { propagate: counts.map((count, i) => ({ tokens: count, milliseconds: middle(skipped[i]!) })) }),
  };
}

/** 1, 2, 4 … up to the largest, which is always among them. */
export function doublings(least: number, most: number): readonly number[] {
  const counts: number[] = [];
  for (let count = least; count < most; count *= 2) counts.push(count);
  return [...counts, most];
}

/**
 * Rows at all depths, with pages that no other row has while there are enough.
 * @param heads how many of them ask for one
 */
export function decodingRows(model: StepModel, context: number, count: number, heads: number): readonly StepRow[] {
  const { pageSize, loops, hiddenSize, dtype } = model.shape;
  const width = Math.ceil(context / pageSize);
  const pages = (row: number, of: number) =>
    Array.from({ length: width }, (_, i) => (of < 2 ? 0 : 1 + ((row * width + i) % (of - 1))));
  return Array.from({ length: count }, (_, row) => ({
    depth: row % loops,
    position: context,
    tokens: [0],
    pages: pages(row, model.pageCount),
    boundaryPages: model.boundaryPageCount > 0 ? pages(row, model.boundaryPageCount) : [],
    hidden:
      row % loops === 0 ? undefined : dtype === 'f16' ? new Uint16Array(hiddenSize) : new Float32Array(hiddenSize),
    leaving: row < heads,
    heads: row < heads ? [0] : [],
  }));
}

function promptRow(count: number): StepRow {
  const tokens = Array.from({ length: count }, () => 0);
  return { depth: 0, position: 0, tokens, pages: [], boundaryPages: [], hidden: undefined, leaving: false, heads: [] };
}

/** Entries of one depth that go into the first page. */
function propagation(model: StepModel, count: number): Timed {
  const { hiddenSize, dtype, loops, pageSize } = model.shape;
  const hidden = dtype === 'f16' ? new Uint16Array(hiddenSize) : new Float32Array(hiddenSize);
  const tokens = Array.from({ length: count }, (_, i) => ({
    hidden,
    depth: loops - 1,
    position: i % pageSize,
    pages: [1],
  }));
  return { run: () => model.propagate(tokens), times: [] };
}

import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import type { Package } from '../files/package.ts';
import type { CoreOptions } from '../runtime/depth-batched/core.ts';
import type { StepShape } from '../runtime/depth-batched/step-model.ts';
import { maxPositions } from '../runtime/generate-options.ts';
import { loadTokenizer, type TextTokenizer } from '../runtime/tokenizer.ts';
import type { BenchRun } from './bench-document.ts';
import type { BenchOptions } from './bench-options.ts';
import { readTextWindows } from './measure-on-text.ts';
import { readPrompts } from './read-prompts.ts';
import { extentOf, meanOf } from './statistics.ts';
import { type LengthRange, makeWorkload, type WorkItem, type WorkloadOptions } from './workload.ts';

/** What is going to be run, by places of the numbers of rows. */
export interface Plan {
  readonly runs: readonly {
    readonly workload: readonly WorkItem[];
    readonly described: Omit<BenchRun['workload'], 'maxRows' | 'maxSequences' | 'rounds'>;
  }[];
  readonly core: Pick<CoreOptions, 'kvPolicy' | 'rowOrder' | 'prefillChunk'>;
  /** Positions of the longest sequence. */
  readonly longest: number;
  /** Sequences that hold pages at once, in any run. */
  readonly mostSequences: number;
  /** Mean loop that exits should have, where one was asked for or recorded; else halfway. */
  readonly meanLoops: number;
  /** What tokens leave by that no trace tells; with traces, what a variant of its own leaves by. */
  readonly threshold: number | 'auto' | undefined;
  /** Positions that a row has behind it on average, about. */
  readonly meanContext: number;
  /** Pieces of the text that accuracy is measured on; none: it is not. */
  readonly windows: readonly (readonly number[])[];
}

const defaultPrompt = { least: 32, most: 96 } as const;
const defaultNew = { least: 64, most: 128 } as const;

/** Reads prompts and traces, fills in defaults that fit the model, and makes a workload for each number of rows. */
export async function planWorkload(
  { folder, manifest }: Package,
  shape: StepShape,
  options: BenchOptions,
): Promise<Result<Plan>> {
  const positions = maxPositions(manifest);
  const tokenizer = await loadTokenizer(folder);
  if (!tokenizer.ok) return tokenizer;
  const given =
    options.prompts === undefined ? success(undefined) : await readPrompts(options.prompts, tokenizer.value);
  if (!given.ok) return given;
  const windows = await givenWindows(options, tokenizer.value, positions);
  if (!windows.ok) return windows;

  const newTokens = options.newTokens ?? within(defaultNew, Math.floor(positions / 2));
  const lengths = options.promptTokens ?? within(defaultPrompt, positions - newTokens.most + 1);
  const exits = exitsOf(options, shape, manifest.exits?.threshold);
  const problems = checkPlan(options, shape, positions, given.value, lengths, newTokens, exits);
  if (problems.length > 0) return failure(...problems);

  const runs = options.rows.map((rows) => {
    const prompts = takeFrom(given.value, options.sequences) ?? {
      count: options.sequences ?? 4 * rows,
      lengths,
      vocabulary: shape.vocabulary,
    };
    const { arrivals, seed } = options;
    const workload = makeWorkload({ prompts, newTokens, arrivals, exits: exits.rule, seed });
    return { workload, described: describe(options, workload, exits.name) };
  });
  const items = runs.flatMap(({ workload }) => workload);
  const contexts = items.map(({ prompt, newTokens: made }) => prompt.length + made / 2);
  return success({
    runs,
    core: {
      kvPolicy: options.kvPolicy,
      rowOrder: options.rowOrder,
      ...(options.prefillChunk === undefined ? {} : { prefillChunk: options.prefillChunk }),
    },
    longest: extentOf(items.map(({ prompt, newTokens: made }) => prompt.length + made)).most,
    mostSequences: Math.max(...options.rows.map((rows) => sequencesFor(rows, options))),
    meanLoops: exits.mean,
    threshold: exits.threshold,
    meanContext: Math.round(meanOf(contexts)),
    windows: windows.value,
  });
}

/** The first `count`, again from the top when there are fewer; all of them by default. */
function takeFrom<T>(list: readonly T[] | undefined, count = list?.length ?? 0): readonly T[] | undefined {
  return list && Array.from({ length: count }, (_, i) => list[i % list.length]!);
}

/**
 * Sequences that hold pages at once. More than rows, so that while the prompt of one runs there are others to fill the
 * row that it is to take.
 */
export function sequencesFor(rows: number, { maxSequences }: BenchOptions): number {
  return maxSequences ?? rows + Math.ceil(rows / 4);
}

async function givenWindows(
  { quality }: BenchOptions,
  tokenizer: TextTokenizer | undefined,
  positions: number,
): Promise<Result<readonly (readonly number[])[]>> {
  return quality === undefined ? success([]) : readTextWindows(quality.text, tokenizer, quality.tokens, positions);
}

interface Exits {
  readonly rule: WorkloadOptions['exits'];
  readonly name: string;
  readonly mean: number;
  readonly threshold: number | 'auto' | undefined;
}

/** A trace or a mean goes before a threshold; without either, the model's own threshold, or a mean halfway. */
function exitsOf(
  { meanLoops, exitThreshold, exitTrace: sequences }: BenchOptions,
  { loops, exits }: StepShape,
  own: number | undefined,
): Exits {
  if (sequences !== undefined) {
    const decided = sequences.flatMap((list) => list.slice(1));
    const mean = decided.length === 0 ? loops : meanOf(decided);
    const name = `trace, ${mean.toFixed(2)} of ${loops} loops on average`;
    return { rule: { kind: 'trace', sequences }, name, mean, threshold: exitThreshold };
  }
  const halfway = (1 + loops) / 2;
  const threshold = exitThreshold ?? (own !== undefined && own < 1 ? own : undefined);
  if (meanLoops === undefined && threshold !== undefined) {
    return { rule: { kind: 'threshold' }, name: `threshold ${threshold}`, mean: halfway, threshold };
  }
  const mean = meanLoops ?? halfway;
  // A model that was not trained to leave early may be asked what it would gain if it were.
  const after = exits.length > 0 ? exits : Array.from({ length: loops - 1 }, (_, i) => i + 1);
  const name = `made trace, ${mean.toFixed(2)} of ${loops} loops on average`;
  return { rule: { kind: 'made', loops, after, mean }, name, mean, threshold: exitThreshold };
}

function checkPlan(
  options: BenchOptions,
  shape: StepShape,
  positions: number,
  given: readonly (readonly number[])[] | undefined,
  lengths: LengthRange,
  newTokens: LengthRange,
  { rule }: Exits,
): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const longest =
    (given === undefined ? lengths.most : extentOf(given.map(({ length }) => length)).most) + newTokens.most;
  if (longest > positions + 1) {
    problems.push({
      severity: 'error',
      code: 'too-long',
      message: `The longest sequence may have ${longest} tokens, but the model was made for ${positions}.`,
      hint: 'Ask for shorter --prompt-tokens or --new-tokens.',
    });
  }
  const strange = given?.flat().find((token) => token >= shape.vocabulary);
  if (strange !== undefined) {
    problems.push({
      severity: 'error',
      code: 'unknown-token',
      ...(options.prompts === undefined ? {} : { location: { file: options.prompts } }),
      message: `A prompt has the token ${strange}; the vocabulary goes from 0 to ${shape.vocabulary - 1}.`,
    });
  }
  const { meanLoops, exitThreshold } = options;
  if (meanLoops !== undefined && meanLoops > shape.loops) {
    problems.push({
      severity: 'error',
      code: 'too-many-loops',
      message: `--mean-loops ${meanLoops} is more than the ${shape.loops} loops that the model has.`,
    });
  }
  if ((rule.kind === 'threshold' || exitThreshold === 'auto') && shape.exits.length === 0) {
    problems.push({
      severity: 'error',
      code: 'no-exits',
      message: 'The model names no exits, so no threshold lets a token leave.',
      hint: 'Put "exits": {"after": [1]} into model.json and compile again, or use --mean-loops.',
    });
  }
  return problems;
}

function describe(
  options: BenchOptions,
  workload: readonly WorkItem[],
  exits: string,
): Plan['runs'][number]['described'] {
  const range = (lengths: readonly number[]) => ({
    ...extentOf(lengths),
    mean: meanOf(lengths),
  });
  return {
    sequences: workload.length,
    promptTokens: range(workload.map(({ prompt }) => prompt.length)),
    newTokens: range(workload.map(({ newTokens }) => newTokens)),
    arrivals: options.arrivals,
    exits,
    kvPolicy: options.kvPolicy,
    rowOrder: options.rowOrder,
    seed: options.seed,
  };
}

/** A range that ends where there is no more room. */
function within({ least, most }: LengthRange, room: number): LengthRange {
  const end = Math.max(1, Math.min(most, room));
  return { least: Math.min(least, end), most: end };
}

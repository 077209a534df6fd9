import type { BenchOptions } from '../../measure/bench-options.ts';
import type { LengthRange } from '../../measure/workload.ts';
import type { KvPolicy, RowOrder } from '../../runtime/depth-batched/core.ts';
import type { BenchEnginesOptions } from '../bench/bench-engines.ts';
import { UsageError } from './usage-error.ts';

/** What commander makes of the options of `rtc bench`. */
export interface BenchFlags {
  readonly rows?: readonly number[];
  readonly maxSequences?: number;
  readonly prompts?: string;
  readonly sequences?: number;
  readonly promptTokens?: LengthRange;
  readonly newTokens?: LengthRange;
  readonly arrivals?: number;
  readonly meanLoops?: number;
  readonly exitTrace?: string;
  readonly exitThreshold?: number | 'auto';
  readonly kvPolicy?: KvPolicy;
  readonly rowOrder?: RowOrder;
  readonly prefillChunk?: number;
  readonly unrolled?: string;
  readonly engine: boolean;
  readonly profile?: boolean;
  readonly runs: boolean;
  readonly quality?: string;
  readonly qualityTokens?: number;
  readonly rounds?: number;
  readonly maxSeconds?: number;
  readonly threads?: number;
  readonly seed?: number;
  readonly html?: string;
  readonly engineTimes?: boolean;
  readonly trtexec?: string;
  readonly context?: number;
  readonly out?: string;
}

/** Fills in defaults that depend on no package. Throws a UsageError for options that contradict each other. */
export function benchOptions(flags: BenchFlags): BenchOptions {
  for (const [name, option] of ofEngines) {
    if (flags[name] === undefined) continue;
    throw new UsageError(`${option} says how engines are timed, and no engine is.`, 'Add --engine-times.');
  }
  const { arrivals, seed = 1, rounds = 12, rows = [8], quality, qualityTokens = 4096 } = flags;
  if (flags.prompts !== undefined) exclude('--prompts', '--prompt-tokens', flags.promptTokens);
  if (flags.exitTrace !== undefined) exclude('--exit-trace', '--mean-loops', flags.meanLoops);
  if (quality === undefined && flags.qualityTokens !== undefined) {
    throw new UsageError('--quality-tokens says how much of a text is read, and there is none.', 'Add --quality TEXT.');
  }
  if (!flags.runs && !flags.profile && quality === undefined) {
    throw new UsageError('With --no-runs there is nothing to measure.', 'Add --profile or --quality TEXT.');
  }
  if (flags.kvPolicy === 'shared' && (flags.prefillChunk ?? 1) > 1) {
    throw new UsageError(
      'A --prefill-chunk does not go with --kv-policy shared, under which prompt tokens run one at a time.',
      'Leave it out.',
    );
  }
  const { maxSequences, prompts, sequences, promptTokens, newTokens, meanLoops, exitThreshold } = flags;
  const { prefillChunk, threads, maxSeconds, unrolled } = flags;
  return {
    rows,
    arrivals: arrivals === undefined ? { kind: 'at-once' } : { kind: 'poisson', perSecond: arrivals, seed },
    kvPolicy: flags.kvPolicy ?? 'last-exited',
    rowOrder: flags.rowOrder ?? 'oldest',
    rounds,
    seed,
    runs: flags.runs,
    engine: flags.engine,
    profile: flags.profile === true,
    ...(quality === undefined ? {} : { quality: { text: quality, tokens: qualityTokens } }),
    ...defined({ maxSequences, prompts, sequences, promptTokens, newTokens, meanLoops, exitThreshold }),
    ...defined({ prefillChunk, threads, maxSeconds, unrolled }),
  };
}

const ofEngines = [
  ['trtexec', '--trtexec'],
  ['context', '--context'],
  ['out', '--out'],
] as const;

/** Options that say how a package is run here, where its engines are not. */
const ofRuns = [
  ...[
    ['prompts', '--prompts'],
    ['exitTrace', '--exit-trace'],
    ['exitThreshold', '--exit-threshold'],
  ],
  ...[
    ['unrolled', '--unrolled'],
    ['profile', '--profile'],
    ['quality', '--quality'],
  ],
  ...[
    ['qualityTokens', '--quality-tokens'],
    ['rounds', '--rounds'],
    ['maxSeconds', '--max-seconds'],
  ],
  ...[
    ['threads', '--threads'],
    ['html', '--html'],
  ],
] as const as readonly (readonly [keyof BenchFlags, string])[];

/**
 * The same for `--engine-times`, which times engines and simulates a workload with these times. Throws a UsageError for
 * options that are about running one.
 */
export function engineTimesOptions(flags: BenchFlags): Omit<BenchEnginesOptions, 'env'> {
  for (const [name, option] of ofRuns) exclude('--engine-times', option, flags[name]);
  if (!flags.runs) exclude('--engine-times', '--no-runs', true);
  if (!flags.engine) exclude('--engine-times', '--no-engine', true);
  const { arrivals, seed = 1, kvPolicy = 'last-exited', rowOrder = 'oldest' } = flags;
  const { rows, maxSequences, sequences, promptTokens, newTokens, meanLoops, prefillChunk, trtexec, context } = flags;
  return {
    arrivals: arrivals === undefined ? { kind: 'at-once' } : { kind: 'poisson', perSecond: arrivals, seed },
    ...{ seed, kvPolicy, rowOrder, rows, maxSequences, sequences, promptTokens, newTokens, meanLoops, prefillChunk },
    ...{ trtexec, context },
  };
}

function exclude(one: string, other: string, value: unknown): void {
  if (value !== undefined) throw new UsageError(`The options "${one}" and "${other}" do not go together.`);
}

/** An object without the keys that have no value. */
function defined<T extends object>(object: T): { readonly [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

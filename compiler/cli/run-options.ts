import type { GenerateOptions, KvPolicy, LoadOptions, RowOrder, Sampling } from '../../runtime/index.ts';
import { UsageError } from './usage-error.ts';

/** What commander makes of the options of `rtc run`. */
export interface RunFlags {
  readonly maxNewTokens?: number;
  readonly ignoreEos?: boolean;
  readonly exitThreshold?: number;
  readonly exitAt?: number;
  readonly exitTrace?: string;
  readonly meanLoops?: number;
  readonly kvPolicy?: KvPolicy;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly maxRows?: number;
  readonly rowOrder?: RowOrder;
  readonly prefillChunk?: number;
  readonly pageMemory?: number;
  readonly threads?: number;
}

/** The same, by what they are about. */
export interface RunOptions {
  readonly load: LoadOptions;
  readonly generate: GenerateOptions;
  /** File that exits are to be read from. */
  readonly exitTrace: string | undefined;
}

/** Throws a UsageError for options that contradict each other or change nothing. */
export function runOptions(flags: RunFlags): RunOptions {
  const { maxNewTokens, ignoreEos, exitThreshold, exitAt, exitTrace, meanLoops, pageMemory } = flags;
  const { threads, maxRows, rowOrder, prefillChunk, kvPolicy } = flags;
  oneDecides({
    '--exit-threshold': exitThreshold,
    '--exit-at': exitAt,
    '--exit-trace': exitTrace,
    '--mean-loops': meanLoops,
  });
  if (kvPolicy === 'shared' && (prefillChunk ?? 1) > 1) {
    throw new UsageError(
      'A --prefill-chunk does not go with --kv-policy shared, under which prompt tokens run one at a time.',
      'Leave it out.',
    );
  }
  return {
    load: defined({ threads, maxRows, rowOrder, prefillChunk, kvPolicy, pageBytes: pageMemory }),
    generate: {
      sampling: samplingOf(flags),
      ...defined({ maxNewTokens, ignoreEos, exitThreshold, exitAt, meanLoops }),
    },
    exitTrace,
  };
}

function oneDecides(options: Readonly<Record<string, unknown>>): void {
  const [first, second] = Object.keys(options).filter((name) => options[name] !== undefined);
  if (first === undefined || second === undefined) return;
  throw new UsageError(`The options "${first}" and "${second}" do not go together: either decides alone.`);
}

function samplingOf({ temperature, topK, topP, seed }: RunFlags): Sampling {
  const draws = temperature !== undefined || topK !== undefined || topP !== undefined;
  if (seed !== undefined && !draws) {
    throw new UsageError('A --seed changes nothing while the likeliest token is taken.', 'Add --temperature 1.');
  }
  return draws && temperature !== 0
    ? { kind: 'sample', ...defined({ temperature, topK, topP, seed }) }
    : { kind: 'greedy' };
}

/** An object without the keys that have no value. */
function defined<T extends object>(object: T): { readonly [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

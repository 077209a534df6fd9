import type { KvPolicy, RowOrder } from '../runtime/depth-batched/core.ts';
import type { Arrivals, LengthRange } from './workload.ts';

/** What `rtc bench` was asked for. What is undefined has a default that fits the package. */
export interface BenchOptions {
  /** Rows of a step at most; a run for each. */
  readonly rows: readonly number[];
  /** A file of prompts; undefined: they are made. */
  readonly prompts?: string;
  /** Sequences that hold pages at once; by default a quarter more than rows. */
  readonly maxSequences?: number;
  /** How many to make, by default four for each row; of a file, how many to take, by default all. */
  readonly sequences?: number;
  readonly promptTokens?: LengthRange;
  readonly newTokens?: LengthRange;
  readonly arrivals: Arrivals;
  /**
   * Where tokens leave: a recorded run, one made with a mean, or a threshold. With one of the first two, a threshold is
   * a variant of its own beside the others; `auto` is then one that comes near the same mean.
   */
  readonly exitTrace?: readonly (readonly number[])[];
  readonly meanLoops?: number;
  readonly exitThreshold?: number | 'auto';
  readonly kvPolicy: KvPolicy;
  readonly rowOrder: RowOrder;
  readonly prefillChunk?: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly seed: number;
  /** Of all runs together, the loading of graphs and what else is asked for not counted. */
  readonly maxSeconds?: number;
  /** Folder of a package of the form `unrolled`. */
  readonly unrolled?: string;
  /** Measures the steps through the engine, too. */
  readonly engine: boolean;
  /** Measures times of the parts of a step by rows, too. */
  readonly profile: boolean;
  /** Accuracy against threshold on a text: its file, and how many of its tokens are read. */
  readonly quality?: { readonly text: string; readonly tokens: number };
  /** False: only what else is asked for. */
  readonly runs: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (step: string, done?: number, total?: number) => void;
}

import type { Core, StepReport } from '../runtime/depth-batched/core.ts';
import type { ExitRule } from '../runtime/depth-batched/request.ts';
import type { VariantKind } from './bench-document.ts';
import type { WorkItem } from './workload.ts';

/** One step of a contestant, on its own clock. */
export interface StepRecord {
  readonly kind: StepReport['kind'];
  /** Milliseconds since the workload began. */
  readonly start: number;
  /** Milliseconds of all it took, taking requests in included. */
  readonly duration: number;
  /** Of it inside ONNX Runtime. */
  readonly run: number;
  readonly rows: StepReport['rows'];
  readonly heads: number;
  readonly tokens: StepReport['tokens'];
  /**
   * Whether this is the steady state: all rows had been in use before, and sequences were waiting, so that none had to
   * stay empty since.
   */
  readonly steady: boolean;
}

/** What became of one sequence. */
export interface SequenceRecord {
  readonly arrival: number;
  readonly tokens: readonly number[];
  readonly exits: readonly number[];
  /** When each token was there. */
  readonly times: readonly number[];
}

/**
 * One way to batch a workload, at work. It has a clock of its own that stands while it is not its turn: so several can
 * take turns on a machine that is never quite quiet, each as if alone with the workload.
 */
export interface Contestant {
  readonly kind: VariantKind;
  readonly label: string;
  /** Runs on until it has made so many tokens in all, or the workload is done, or the signal aborts. */
  readonly advance: (tokens: number, signal?: AbortSignal) => Promise<void>;
  readonly done: () => boolean;
  /** Tokens made so far. */
  readonly tokens: () => number;
  readonly steps: readonly StepRecord[];
  readonly sequences: () => readonly SequenceRecord[];
  /** Milliseconds on its clock in which there was nothing to do, since no sequence had arrived. */
  readonly idle: () => number;
}

export interface ContestantOptions {
  readonly kind: VariantKind;
  readonly label: string;
  /** Fresh. */
  readonly core: Core;
  /** Rows of a decoding step at most. */
  readonly maxRows: number;
  readonly workload: readonly WorkItem[];
  /** What decides when a token of a sequence leaves. */
  readonly exit: (item: WorkItem) => ExitRule;
}

/** Throws what a refused request says: the caller made sure that every sequence fits. */
export function contestant({ kind, label, core, maxRows, workload, exit }: ContestantOptions): Contestant {
  const steps: StepRecord[] = [];
  const sequences = workload.map(({ arrival }) => ({
    arrival,
    tokens: [] as number[],
    exits: [] as number[],
    times: [] as number[],
  }));
  let clock = 0;
  let idle = 0;
  let submitted = 0;
  let made = 0;
  let ended = 0;
  let filled = false;

  const submitArrived = () => {
    for (; submitted < workload.length && workload[submitted]!.arrival <= clock; submitted++) {
      const item = workload[submitted]!;
      const { prompt, newTokens } = item;
      const taken = core.submit(submitted, { prompt, maxNewTokens: newTokens, ignoreEos: true, exit: exit(item) });
      if (!taken.ok) throw new Error(taken.diagnostics.map(({ message }) => message).join(' '));
    }
  };

  const step = async () => {
    const began = performance.now();
    submitArrived();
    const report = await core.step();
    const duration = performance.now() - began;
    if (report === undefined) {
      const next = workload[submitted];
      if (next === undefined) throw new Error('The scheduler stands still, and sequences have not ended.');
      idle += next.arrival - clock;
      clock = next.arrival;
      return;
    }
    const start = clock;
    clock += duration;
    for (const event of report.tokens) {
      const sequence = sequences[event.request]!;
      sequence.tokens.push(event.token);
      sequence.exits.push(event.exit);
      sequence.times.push(clock);
      made += 1;
      if (event.finished !== undefined) ended += 1;
    }
    const { kind: stepKind, rows, heads, tokens, milliseconds } = report;
    filled ||= stepKind === 'decode' && rows.length >= maxRows;
    const steady = filled && core.state().waiting > 0;
    steps.push({ kind: stepKind, start, duration, run: milliseconds.run, rows, heads, tokens, steady });
  };

  const done = () => ended === workload.length;
  return {
    kind,
    label,
    advance: async (tokens, signal) => {
      while (made < tokens && !done() && signal?.aborted !== true) await step();
    },
    done,
    tokens: () => made,
    steps,
    sequences: () => sequences,
    idle: () => idle,
  };
}

import { type Result, success } from '../files/diagnostics.ts';
import type { Package } from '../files/package.ts';
import type { CoreOptions, StepReport } from '../runtime/depth-batched/core.ts';
import type { ExitRule } from '../runtime/depth-batched/request.ts';
import { startEngine } from '../runtime/engine.ts';
import type { BenchRun } from './bench-document.ts';
import { sumOf } from './statistics.ts';
import type { WorkItem } from './workload.ts';

type EngineNumbers = NonNullable<BenchRun['engine']>;

export interface EngineMeasureOptions {
  readonly core: Omit<CoreOptions, 'batching' | 'threshold'>;
  readonly exit: (item: WorkItem) => ExitRule;
  readonly threads: number;
  /** Stops after so many milliseconds, even if the workload has not ended. */
  readonly milliseconds: number;
  readonly signal?: AbortSignal;
}

/** A report, and when it was here. */
interface Heard {
  readonly report: StepReport;
  readonly at: number;
}

/**
 * Runs the workload, depth-wise, through an engine, and says what all that is not ONNX Runtime takes there: scheduling,
 * cache entries, and the thread with its messages, those that measure included. Undefined when there were no two full
 * batches.
 */
export async function measureEngine(
  source: Package,
  workload: readonly WorkItem[],
  options: EngineMeasureOptions,
): Promise<Result<EngineNumbers | undefined>> {
  const { endTokens: _, ...core } = options.core;
  const maxPositions = Math.max(...workload.map(({ prompt, newTokens }) => prompt.length + newTokens));
  const opened = await startEngine(source, { ...core, maxPositions, threads: options.threads, warmPages: true });
  if (!opened.ok) return opened;
  const engine = opened.value;
  try {
    const heard: Heard[] = [];
    const forget = engine.onStep((report) => heard.push({ report, at: performance.now() }));
    const running = workload.map((item) => {
      const { prompt, newTokens: maxNewTokens } = item;
      const taken = engine.submit({ prompt, maxNewTokens, ignoreEos: true, exit: options.exit(item) });
      if (!taken.ok) throw new Error(taken.diagnostics.map(({ message }) => message).join(' '));
      return taken.value;
    });
    const stop = () => {
      for (const request of running) request.cancel();
    };
    const timer = setTimeout(stop, options.milliseconds);
    options.signal?.addEventListener('abort', stop, { once: true });
    await Promise.all(running.map(({ done }) => done));
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
    forget();
    return success(engineNumbers(heard, core.maxRows));
  } finally {
    await engine.close();
  }
}

/**
 * Of the second half of the steps, as pages that nobody has written to yet cost more: from its first full batch to its
 * last one, prompts between them included. An engine tells of several short steps at once, so that the moment at which
 * one of them was heard of says little.
 */
export function engineNumbers(heard: readonly Heard[], maxRows: number): EngineNumbers | undefined {
  const full = ({ report }: Heard) => report.kind === 'decode' && report.rows.length === maxRows;
  const last = heard.findLastIndex(full);
  const first = heard.findIndex((each, i) => i >= last / 2 && full(each));
  const wall = first >= 0 && first < last ? heard[last]!.at - heard[first]!.at : 0;
  if (wall <= 0) return undefined;
  const reports = heard.slice(first + 1, last + 1).map(({ report }) => report);
  const share = (inside: number) => Math.min(1, Math.max(0, 1 - inside / wall));
  return {
    tokensPerSecond: (1000 * sumOf(reports.map(({ tokens }) => tokens.length))) / wall,
    hostShare: share(sumOf(reports.map(({ milliseconds }) => milliseconds.run))),
    messageShare: share(sumOf(reports.map(({ milliseconds }) => milliseconds.total))),
  };
}

import { type Result, success } from '../files/diagnostics.ts';
import type { Package } from '../files/package.ts';
import type { CoreOptions, StepReport } from '../runtime/depth-batched/core.ts';
import type { ExitRule } from '../runtime/depth-batched/request.ts';
import { startEngine } from '../runtime/engine.ts';
import type { BenchRun } from './bench-document.ts';
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
 * cache entries, and the thread with its messages, those that measure included. Undefined when there were no two steps
 * of full batches in a row.
 */
export async function measureEngine(
  source: Package,
  workload: readonly WorkItem[],
  options: EngineMeasureOptions,
): Promise<Result<EngineNumbers | undefined>> {
  const { endTokens: _, ...core } = options.core;
  const maxPositions = Math.max(...workload.map(({ prompt, newTokens }) => prompt.length + newTokens));
  const opened = await startEngine(source, { ...core, maxPositions, threads: options.threads });
  if (!opened.ok) return opened;
  const engine = opened.value;
  try {
    const heard: Heard[] = [];
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), options.milliseconds);
    const forget = engine.onStep((report) => heard.push({ report, at: performance.now() }));
    const signal = options.signal ? AbortSignal.any([stop.signal, options.signal]) : stop.signal;
    const running = workload.map((item) => {
      const { prompt, newTokens: maxNewTokens } = item;
      const request = { prompt, maxNewTokens, ignoreEos: true, exit: options.exit(item) };
      const taken = engine.submit(request, { signal });
      if (!taken.ok) throw new Error(taken.diagnostics.map(({ message }) => message).join(' '));
      return taken.value.done;
    });
    await Promise.all(running);
    clearTimeout(timer);
    forget();
    return success(engineNumbers(heard, core.maxRows));
  } finally {
    await engine.close();
  }
}

/** Of decoding steps with all their rows, each from the moment on at which the step before it was heard of. */
export function engineNumbers(heard: readonly Heard[], maxRows: number): EngineNumbers | undefined {
  let [wall, total, run, tokens] = [0, 0, 0, 0];
  for (let i = 1; i < heard.length; i++) {
    const { report, at } = heard[i]!;
    if (report.kind !== 'decode' || report.rows.length < maxRows) continue;
    wall += at - heard[i - 1]!.at;
    total += report.milliseconds.total;
    run += report.milliseconds.run;
    tokens += report.tokens.length;
  }
  if (wall <= 0) return undefined;
  const share = (part: number) => Math.min(1, Math.max(0, part / wall));
  return { tokensPerSecond: (1000 * tokens) / wall, hostShare: share(wall - run), messageShare: share(wall - total) };
}

import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import type { Package } from '../files/package.ts';
import { openStepModel } from '../runtime/depth-batched/open-step-model.ts';
import type { StepModel, StepShape } from '../runtime/depth-batched/step-model.ts';
import type { BenchOptions } from './bench-options.ts';
import type { Plan } from './plan-workload.ts';
import { decodingRows } from './profile-step.ts';
import type { WorkItem } from './workload.ts';

/** Rows whose step is timed; of more of them each takes as long, since the processor is busy with these. */
const timedRows = 64;

/** Variants that every run has: two at full work, by sequence and waiting, two that leave early. */
const variants = { waiting: 2, leaving: 2 };

/** Seconds that nobody expects a measurement to take who did not ask for so long. */
const patience = 600;

/** What a measurement would take. */
export interface Estimate {
  readonly maxRows: number;
  readonly seconds: number;
  /** That all variants take, in turn. */
  readonly rounds: number;
  readonly maxSeconds: number | undefined;
}

/** What is going to be measured. */
export interface EstimatedRuns {
  readonly source: Package;
  readonly shape: StepShape;
  readonly plan: Plan;
  readonly options: BenchOptions;
  readonly threads: number;
}

/**
 * Fails when numbers of rows that no processor is quick with would take longer than anybody waits: a step of fewer is
 * timed, before pages for all of them are made.
 */
export async function estimateRuns({ source, shape, plan, options, threads }: EstimatedRuns): Promise<Result<void>> {
  const { maxSeconds, rows, rounds } = options;
  const places = rows.flatMap((count, i) => (options.runs && count > timedRows ? [i] : []));
  if (places.length === 0) return success(undefined);
  const boundaryPages = shape.prelude + shape.coda > 0 ? 1 : 0;
  const opened = await openStepModel(source, { pages: 1, boundaryPages, threads });
  if (!opened.ok) return opened;
  try {
    const rowSeconds = await timeRow(opened.value, plan.meanContext);
    const given = maxSeconds === undefined ? undefined : maxSeconds / rows.length;
    const problems = places.flatMap((i) => {
      const seconds = workloadSeconds(plan.runs[i]!.workload, shape.loops, plan.meanLoops, rowSeconds);
      return takesTooLong({ maxRows: rows[i]!, seconds, rounds, maxSeconds: given }) ?? [];
    });
    return problems.length > 0 ? failure(...problems) : success(undefined);
  } finally {
    await opened.value.close();
  }
}

/**
 * Seconds that all variants of a workload take together if every row of a step takes as long as it does among
 * {@link timedRows}; heads and what else variants differ in are left out.
 * @param rowSeconds of one row in one loop
 */
export function workloadSeconds(
  workload: readonly WorkItem[],
  loops: number,
  meanLoops: number,
  rowSeconds: number,
): number {
  const { waiting, leaving } = variants;
  const passes = workload.reduce(
    (sum, { prompt, newTokens }) =>
      sum + (waiting + leaving) * loops * prompt.length + (waiting * loops + leaving * meanLoops) * newTokens,
    0,
  );
  return passes * rowSeconds;
}

/** Seconds of a row in a decoding step of {@link timedRows}, at its best of a few; writes nothing. */
async function timeRow(model: StepModel, context: number): Promise<number> {
  const rows = decodingRows(model, context, timedRows, 0);
  const times: number[] = [];
  for (let i = 0; i < 4; i++) times.push((await model.run(rows, { logits: false })).milliseconds);
  return Math.min(...times) / timedRows / 1000;
}

/** Says so when a measurement would take longer than anybody waits, or than the time it was given has one round for. */
export function takesTooLong({ maxRows, seconds, rounds, maxSeconds }: Estimate): Diagnostic | undefined {
  const [needed, given] = maxSeconds === undefined ? [seconds, patience] : [seconds / rounds, maxSeconds];
  if (needed <= given) return undefined;
  const what = maxSeconds === undefined ? 'All variants' : 'One round of all variants';
  return {
    severity: 'error',
    code: 'takes-too-long',
    message: `${what} would take about ${readable(needed)} at ${maxRows} rows, by the time of a step of ${timedRows}.`,
    hint: `Ask for fewer --rows or --sequences, or ${maxSeconds === undefined ? 'give' : 'raise'} --max-seconds.`,
  };
}

function readable(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} seconds`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds / 3600)} hours`;
}

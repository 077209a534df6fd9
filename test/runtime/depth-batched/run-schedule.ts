import { expect } from 'vitest';
import type { Core, CoreOptions, StepReport } from '../../../runtime/depth-batched/core.ts';
import { createCore } from '../../../runtime/depth-batched/create-core.ts';
import type { GenerationRequest } from '../../../runtime/depth-batched/request.ts';
import type { StepModel } from '../../../runtime/depth-batched/step-model.ts';

export interface Scheduled {
  readonly request: GenerationRequest;
  /** Steps that are run before it is submitted. */
  readonly joins: number;
}

/** What became of one request; lists are by new token. */
export interface Outcome {
  readonly tokens: readonly number[];
  readonly exits: readonly number[];
  readonly confidences: readonly number[];
  /** What each token was chosen from; empty unless they were asked for. */
  readonly logits: readonly Float32Array[];
}

export interface ScheduleRun {
  /** In the order of the requests. */
  readonly outcomes: readonly Outcome[];
  readonly reports: readonly StepReport[];
  readonly preemptions: number;
}

export interface ScheduleOptions extends CoreOptions {
  /** Pages of the block that may be used, page 0 included, of those that the model has. */
  readonly pageCount?: number;
  readonly boundaryPageCount?: number;
  /** Keeps logits. */
  readonly logits?: boolean;
}

/**
 * Runs requests that join as they say, to their ends. Fails where the core breaks its word: too many rows, tokens out of
 * order or after the end, pages that nobody gave back.
 */
export async function runSchedule(
  model: StepModel,
  { pageCount, boundaryPageCount, logits = false, ...options }: ScheduleOptions,
  requests: readonly Scheduled[],
): Promise<ScheduleRun> {
  const recorder = recordHeads({
    ...model,
    pageCount: pageCount ?? model.pageCount,
    boundaryPageCount: boundaryPageCount ?? model.boundaryPageCount,
  });
  const core = createCore(logits ? recorder.model : { ...recorder.plain }, options);
  const outcomes = requests.map(() => ({
    tokens: [] as number[],
    exits: [] as number[],
    confidences: [] as number[],
    logits: [] as Float32Array[],
  }));
  const ended = new Set<number>();
  const reports: StepReport[] = [];
  const waiting = requests.map((_, id) => id).sort((a, b) => requests[a]!.joins - requests[b]!.joins);
  while (ended.size < requests.length) {
    while (waiting.length > 0 && requests[waiting[0]!]!.joins <= reports.length) submit(core, waiting.shift()!);
    const report = await core.step();
    if (report === undefined) {
      // Nobody is left that has joined: the next one comes now.
      if (waiting.length === 0) expect.fail(`the core stands still with ${requests.length - ended.size} to serve`);
      submit(core, waiting.shift()!);
      continue;
    }
    reports.push(report);
    if (report.kind === 'decode') expect(report.rows.length).toBeLessThanOrEqual(options.maxRows);
    for (const { request, token, exit, confidence, finished } of report.tokens) {
      expect(ended.has(request), `a token for ${request} behind its end`).toBe(false);
      const outcome = outcomes[request]!;
      outcome.tokens.push(token);
      outcome.exits.push(exit);
      outcome.confidences.push(confidence);
      if (logits) outcome.logits.push(recorder.lastHead(report, request));
      if (finished !== undefined) ended.add(request);
    }
  }
  expect(await core.step(), 'work when all have ended').toBeUndefined();
  const { preemptions, pages, ...state } = core.state();
  expect({ ...state, used: pages.used }).toEqual({ waiting: 0, running: 0, used: 0 });
  return { outcomes, reports, preemptions };

  function submit(to: Core, id: number): void {
    const taken = to.submit(id, requests[id]!.request);
    if (!taken.ok) expect.fail(JSON.stringify(taken.diagnostics));
  }
}

/** A model that keeps the logits of every head of its last step. */
function recordHeads(model: StepModel): {
  readonly model: StepModel;
  readonly plain: StepModel;
  /** What the last head of a request's rows in the step gave. */
  readonly lastHead: (report: StepReport, request: number) => Float32Array;
} {
  let heads: { readonly row: number; readonly logits: Float32Array }[] = [];
  return {
    plain: model,
    model: {
      ...model,
      run: async (rows, options) => {
        const result = await model.run(rows, { ...options, logits: true });
        heads = rows
          .flatMap((row, i) => row.heads.map(() => i))
          .map((row, head) => ({ row, logits: result.logits(head).slice() }));
        return result;
      },
    },
    lastHead: ({ rows }, request) => heads.findLast(({ row }) => rows[row]!.request === request)!.logits,
  };
}

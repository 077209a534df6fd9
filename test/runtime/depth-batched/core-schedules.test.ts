import { expect, test } from 'vitest';
import type { StepReport, TokenEvent } from '../../../runtime/depth-batched/core.ts';
import { createCore } from '../../../runtime/depth-batched/create-core.ts';
import type { FinishReason } from '../../../runtime/depth-batched/request.ts';
import { continueAlone } from './continue-alone.ts';
import { type Case, drawCase } from './draw-case.ts';
import { fakeModel } from './fake-model.ts';
import { fakeStepModel } from './fake-step-graph.ts';

/**
 * Random requests that come and go at random, over too few pages, under every policy, rule, order and batching: each
 * gets what it would get alone. The model is a fake whose every number tells apart all that a row may see, so whatever
 * the scheduler mixes up comes out as another token. `RTC_RANDOM_SEED` and `RTC_RANDOM_SCHEDULES` draw others.
 */
const seed = process.env.RTC_RANDOM_SEED ?? '1';
const count = Number(process.env.RTC_RANDOM_SCHEDULES ?? 400);

test('whatever else is there, a request gets what it gets alone', async () => {
  const seen = { preemptions: 0, cancelled: 0, roles: new Set<string>(), stopped: 0, mixed: 0 };
  for (let i = 0; i < count; i++) {
    const name = `${seed}.${i}`;
    try {
      const run = await runCase(drawCase(name));
      seen.preemptions += run.preemptions;
      seen.cancelled += run.cancelled;
      seen.stopped += run.stopped;
      for (const { rows } of run.reports) {
        for (const { role } of rows) seen.roles.add(role);
        if (new Set(rows.map(({ depth }) => depth)).size > 1) seen.mixed++;
      }
    } catch (error) {
      throw new Error(`schedule ${name}: ${(error as Error).message}`, { cause: error });
    }
  }
  // The drawing is worth nothing if what is hard does not occur.
  if (count < 400) return;
  expect(seen.preemptions).toBeGreaterThan(50);
  expect(seen.cancelled).toBeGreaterThan(50);
  expect(seen.stopped).toBeGreaterThan(50);
  expect(seen.mixed).toBeGreaterThan(500);
  expect([...seen.roles].sort()).toEqual(['background', 'idle', 'prompt', 'replay', 'token']);
});

async function runCase({ shape, options, spans, requests }: Case) {
  const model = fakeModel(shape);
  const depths = options.kvPolicy === 'shared' ? 1 : shape.loops;
  const stepModel = fakeStepModel(model, spans * depths, spans);
  const core = createCore(stepModel, options);
  const events = requests.map((): TokenEvent[] => []);
  const ended = new Map<number, FinishReason>();
  const reports: StepReport[] = [];
  const passed = { steps: 0 };
  const submitted = new Map<number, number>();
  // Every token runs every loop alone, once for each time that everybody younger makes it start again: a generous limit.
  const limit = 100 + requests.length ** 2 * 30 * shape.loops * 2;
  for (; ended.size < requests.length; passed.steps++) {
    if (passed.steps > limit) expect.fail(`no end after ${limit} steps`);
    for (const [id, { request, joins, cancelled }] of requests.entries()) {
      if (passed.steps === joins) {
        const taken = core.submit(id, request);
        if (!taken.ok) expect.fail(JSON.stringify(taken.diagnostics));
        submitted.set(id, passed.steps);
      }
      if (cancelled !== undefined && passed.steps === joins + cancelled) core.cancel(id);
    }
    const report = await core.step();
    for (const [id, { joins, cancelled }] of requests.entries()) {
      if (cancelled === undefined || passed.steps !== joins + cancelled || ended.has(id)) continue;
      if (!report?.ended.some(({ request }) => request === id)) expect.fail(`${id} was cancelled and goes on`);
    }
    if (report === undefined) {
      if (submitted.size > ended.size) expect.fail(`nothing is done for ${submitted.size - ended.size} requests`);
      continue;
    }
    reports.push(report);
    checkReport(report, options.maxRows);
    for (const event of report.tokens) {
      if (ended.has(event.request)) expect.fail(`a token behind the end of ${event.request}`);
      events[event.request]!.push(event);
      if (event.finished) ended.set(event.request, event.finished);
    }
    for (const { request, reason } of report.ended) {
      if (ended.has(request)) expect.fail(`${request} ended twice`);
      ended.set(request, reason);
    }
  }
  expect(await core.step()).toBeUndefined();
  const { preemptions, ...state } = core.state();
  expect(state).toMatchObject({ waiting: 0, running: 0, pages: { used: 0 } });

  for (const [id, { request }] of requests.entries()) {
    const alone = continueAlone(model, options.kvPolicy ?? 'last-exited', request, options.endTokens);
    const got = events[id]!;
    const cancelled = ended.get(id) === 'cancelled';
    const places = cancelled ? got.length : alone.tokens.length;
    expect({
      tokens: got.map(({ token }) => token),
      exits: got.map(({ exit }) => exit),
      confidences: got.map(({ confidence }) => confidence),
    }).toEqual({
      tokens: alone.tokens.slice(0, places),
      exits: alone.exits.slice(0, places),
      confidences: alone.confidences.slice(0, places).map(Math.fround),
    });
    if (!cancelled) expect(ended.get(id)).toBe(alone.tokens.length < request.maxNewTokens ? 'stop' : ended.get(id));
  }
  const reasons = [...ended.values()];
  return {
    reports,
    preemptions,
    cancelled: reasons.filter((reason) => reason === 'cancelled').length,
    stopped: reasons.filter((reason) => reason === 'stop').length,
  };
}

/** What holds for every step. */
function checkReport({ kind, rows, heads, tokens }: StepReport, maxRows: number): void {
  if (kind === 'decode' && rows.length > maxRows) expect.fail(`${rows.length} rows`);
  for (const row of rows) if (row.tokens > 1 !== (kind === 'prefill')) expect.fail(`${row.tokens} tokens to ${kind}`);
  const places = rows.map(({ request, depth }) => `${request} at depth ${depth}`);
  if (new Set(places).size < places.length) expect.fail(`twice in a step: ${places.join(', ')}`);
  if (heads < tokens.length) expect.fail(`${tokens.length} tokens of ${heads} heads`);
}

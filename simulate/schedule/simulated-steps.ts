import type { Scenario, SimulatedBatching } from '../scenario.ts';
import { decodingRows } from './decoding-rows.ts';
import { prefillRows } from './prefill-rows.ts';
import { requestQueue } from './request-queue.ts';
import {
  hasEnded,
  isAtWork,
  nextLength,
  type SimulatedPass,
  type SimulatedSequence,
  simulatedSequence,
  startPass,
} from './simulated-pass.ts';
import { type SimulatedRow, type SimulatedStep, stepDuration } from './simulated-step.ts';

/**
 * The steps of a scenario, one after the other, as the runtime's scheduler would run them if every sequence had pages:
 * chunks of prompts and decoding take turns, and what is ready runs.
 */
export function* simulatedSteps(scenario: Scenario, batching: SimulatedBatching): Generator<SimulatedStep> {
  const { requests, maxRows, maxSequences } = scenario;
  // A batch of `vanilla` is what is admitted together.
  const most = batching === 'vanilla' ? Math.min(maxRows, maxSequences) : maxSequences;
  const queue = requestQueue(requests);
  const decoding = decodingRows(scenario, batching);
  let running: SimulatedSequence[] = [];
  let now = 0;
  let kind: SimulatedStep['kind'] = 'decode';
  while (true) {
    if (batching !== 'vanilla' || running.length === 0) admit();
    if (running.length === 0) {
      const arrival = queue.nextArrival();
      if (arrival === undefined) return;
      now = arrival;
      continue;
    }
    for (const sequence of running) start(sequence);
    const decode = decoding.next(running);
    const prefill: readonly SimulatedPass[] =
      kind === 'decode' || decode.length === 0 ? prefillRows(running, scenario) : [];
    kind = prefill.length > 0 ? 'prefill' : 'decode';
    const step = runStep(scenario, batching, kind, prefill.length > 0 ? prefill : decode);
    const timed = { ...step, start: now, queued: queue.waits(now) };
    if (step.rows.some(({ outcome }) => outcome === 'ends')) running = running.filter(isUnderWay);
    yield timed;
    now += stepDuration(timed);
  }

  function admit(): void {
    while (running.length < most) {
      const request = queue.take(now);
      if (request === undefined) return;
      running.push(simulatedSequence(scenario, request, requests[request]!));
    }
  }

  function start(sequence: SimulatedSequence): void {
    const tokens = nextLength(sequence, scenario);
    const before = sequence.passes.at(-1);
    if (tokens === 0 || (before !== undefined && (scenario.kvPolicy === 'shared' || before.depth === 0))) return;
    if (tokens === 1 && !decoding.mayStart(sequence, running)) return;
    const pass = startPass(sequence, tokens, scenario, batching);
    if (tokens === 1) decoding.started(pass);
  }
}

function isUnderWay({ passes, started, exits, prompt, promptStarted }: SimulatedSequence): boolean {
  return passes.length > 0 || started < exits.length || promptStarted < prompt;
}

function runStep(
  scenario: Scenario,
  batching: SimulatedBatching,
  kind: SimulatedStep['kind'],
  passes: readonly SimulatedPass[],
): Omit<SimulatedStep, 'start' | 'queued'> {
  const { costs, loops, kvPolicy } = scenario;
  const asks = scenario.decision === 'confidence' && batching !== 'vanilla' && batching !== 'full-depth';
  let heads = 0;
  let skipped = 0;
  const rows = passes.map((pass): SimulatedRow => {
    const { sequence, depth } = pass;
    const loop = depth + 1;
    const works = isAtWork(pass, scenario);
    const role = !works ? 'idle' : pass.left && pass.role === 'token' ? 'background' : pass.role;
    const leaves = !pass.left && loop === pass.exit;
    const asked = asks && !pass.left && pass.role === 'token' && scenario.exitsAfter.includes(loop);
    if ((leaves && pass.gives) || asked) heads += 1;
    // Nobody reads what the last token of a sequence would have left.
    if (leaves && !pass.last) skipped += (loops - pass.exit) * pass.tokens;
    if (leaves) leave(pass);
    pass.depth += 1;
    if (pass.depth === loops || !isAtWork(pass, scenario)) remove(pass);
    const outcome = !leaves || !pass.gives ? 'stays' : pass.last ? 'ends' : 'leaves';
    return { request: sequence.request, depth, role, outcome };
  });
  const longest = Math.max(...passes.map(({ tokens }) => tokens));
  return {
    kind,
    pass: kind === 'decode' ? costs.pass(rows.length) : (costs.prompt?.(rows.length * longest) ?? 0),
    head: costs.head(heads),
    cache: kvPolicy === 'propagate' ? costs.propagate(skipped) : 0,
    host: costs.host,
    rows,
    heads,
  };
}

function leave(pass: SimulatedPass): void {
  const { sequence } = pass;
  pass.left = true;
  if (!pass.gives) return;
  sequence.known += 1;
  // What still runs for an earlier token is of no use to anybody now.
  if (hasEnded(pass)) sequence.passes.length = 0;
}

function remove(pass: SimulatedPass): void {
  const { passes } = pass.sequence;
  const place = passes.indexOf(pass);
  if (place >= 0) passes.splice(place, 1);
}

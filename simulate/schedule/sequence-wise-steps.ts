import type { Scenario, SimulatedBatching } from '../scenario.ts';
import { promptPasses } from './prompt-passes.ts';
import { promptStep } from './prompt-step.ts';
import { requestQueue } from './request-queue.ts';
import { type SimulatedRow, type SimulatedStep, stepDuration } from './simulated-step.ts';

interface Sequence {
  readonly request: number;
  readonly exits: ArrayLike<number>;
  token: number;
}

/**
 * The batchings in which the rows of a batch start a token together. Sequences join and leave between tokens; in
 * `vanilla` they join when the whole batch has ended, and a sequence that ended goes on as an idle row. Prompts of
 * sequences that join run before the others go on.
 */
export function* sequenceWiseSteps(
  scenario: Scenario,
  batching: Exclude<SimulatedBatching, 'depth-wise'>,
): Generator<SimulatedStep> {
  const { requests } = scenario;
  const room = Math.min(scenario.maxRows, scenario.maxSequences);
  const queue = requestQueue(requests);
  let batch: Sequence[] = [];
  let now = 0;
  while (true) {
    const joined: Sequence[] = [];
    if (batch.length === 0 || batching !== 'vanilla') {
      while (batch.length + joined.length < room) {
        const request = queue.take(now);
        if (request === undefined) break;
        joined.push({ request, exits: requests[request]!.exits, token: 0 });
      }
    }
    if (batch.length + joined.length === 0) {
      const arrival = queue.nextArrival();
      if (arrival === undefined) return;
      now = arrival;
      continue;
    }
    for (const { request } of joined) {
      const passes = promptPasses(scenario, requests[request]!);
      for (const [i, pass] of passes.entries()) {
        const last = i === passes.length - 1;
        const step = promptStep(scenario, { ...pass, request, last }, { now, queued: queue.waits(now) });
        yield step;
        now += stepDuration(step);
      }
    }
    batch = [...batch, ...joined.filter(({ exits }) => exits.length > 0)];
    for (const step of tokenSteps(scenario, batching, batch)) {
      const timed = { ...step, start: now, queued: queue.waits(now) };
      yield timed;
      now += stepDuration(timed);
    }
    for (const sequence of batch) sequence.token += 1;
    const live = batch.filter(({ token, exits }) => token < exits.length);
    if (batching !== 'vanilla' || live.length === 0) batch = live;
  }
}

/** The passes in which every sequence of a batch gets one token; heads run where rows leave. */
function* tokenSteps(
  { costs, decision, exitsAfter, kvPolicy, loops }: Scenario,
  batching: Exclude<SimulatedBatching, 'depth-wise'>,
  batch: readonly Sequence[],
): Generator<Omit<SimulatedStep, 'start' | 'queued'>> {
  const leavesEarly = batching === 'sequence-wise' || batching === 'sequence-wise-shrink';
  const ended = ({ token, exits }: Sequence) => token >= exits.length;
  const exitOf = (sequence: Sequence) => (ended(sequence) ? 0 : leavesEarly ? sequence.exits[sequence.token]! : loops);
  const completes = leavesEarly && kvPolicy === 'complete';
  const deepest = completes ? loops : Math.max(0, ...batch.map(exitOf));
  const asks = leavesEarly && decision === 'confidence';
  for (let depth = 0; depth < deepest; depth++) {
    const loop = depth + 1;
    const rows: SimulatedRow[] = [];
    let heads = 0;
    let skipped = 0;
    for (const sequence of batch) {
      const exit = exitOf(sequence);
      const on = exit >= loop;
      if (!on && batching === 'sequence-wise-shrink' && !completes) continue;
      const role = on ? 'token' : completes ? 'background' : 'idle';
      const ends = sequence.token === sequence.exits.length - 1;
      const leaves = exit === loop;
      if (leaves || (on && asks && exitsAfter.includes(loop))) heads += 1;
      if (leaves && !ends) skipped += loops - exit;
      rows.push({ request: sequence.request, depth, role, outcome: !leaves ? 'stays' : ends ? 'ends' : 'leaves' });
    }
    const pass = costs.pass(rows.length);
    const cache = kvPolicy === 'propagate' ? costs.propagate(skipped) : 0;
    yield { kind: 'decode', pass, head: costs.head(heads), cache, host: costs.host, rows, heads };
  }
}

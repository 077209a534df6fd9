import type { Scenario, SimulatedRowOrder } from '../scenario.ts';
import { promptPasses } from './prompt-passes.ts';
import { promptStep } from './prompt-step.ts';
import { requestQueue } from './request-queue.ts';
import { type SimulatedRow, type SimulatedStep, stepDuration } from './simulated-step.ts';

interface Sequence {
  readonly request: number;
  readonly exits: ArrayLike<number>;
  readonly prompt: ReturnType<typeof promptPasses>;
  promptDone: number;
  /** Place of the token that is on its way, and the depth that it runs next. */
  token: number;
  depth: number;
  /** Depth that each earlier token runs next for its keys and values, the oldest token first (policy complete). */
  background: number[];
}

/** A row that could run: a token, or the i-th of those that run on behind it. */
interface ReadyRow {
  readonly sequence: Sequence;
  readonly depth: number;
  readonly background: number | undefined;
}

/**
 * Continuous depth-wise batching, step by step: whatever is ready runs, up to `maxRows` rows of any depth, and a
 * sequence that ends makes room at once. Passes of prompts take turns with steps of tokens while there are both.
 */
export function* depthWiseSteps(scenario: Scenario): Generator<SimulatedStep> {
  const { maxRows, maxSequences, requests, rowOrder } = scenario;
  const queue = requestQueue(requests);
  const active = new Set<Sequence>();
  let now = 0;
  let promptsTurn = true;
  while (true) {
    while (active.size < maxSequences) {
      const request = queue.take(now);
      if (request === undefined) break;
      const prompt = promptPasses(scenario, requests[request]!);
      const { exits } = requests[request]!;
      active.add({ request, exits, prompt, promptDone: 0, token: 0, depth: 0, background: [] });
    }
    if (active.size === 0) {
      const arrival = queue.nextArrival();
      if (arrival === undefined) return;
      now = arrival;
      continue;
    }
    const queued = queue.waits(now);
    const ready = readyRows(active);
    const prompt = [...active].find((sequence) => sequence.promptDone < sequence.prompt.length);
    let step: SimulatedStep;
    if (prompt !== undefined && (promptsTurn || ready.length === 0)) {
      const pass = prompt.prompt[prompt.promptDone++]!;
      const last = prompt.promptDone === prompt.prompt.length;
      step = promptStep(scenario, { ...pass, request: prompt.request, last }, { now, queued });
      if (last && prompt.exits.length === 0) active.delete(prompt);
    } else {
      step = decodeStep(scenario, firstRows(ready, maxRows, rowOrder), { now, queued }, (ended) =>
        active.delete(ended),
      );
    }
    promptsTurn = step.kind === 'decode';
    yield step;
    now += stepDuration(step);
  }
}

/** A token waits at a depth until the one before it has its keys and values there. */
function readyRows(active: Iterable<Sequence>): readonly ReadyRow[] {
  const ready: ReadyRow[] = [];
  for (const sequence of active) {
    if (sequence.promptDone < sequence.prompt.length) continue;
    let ahead = Number.POSITIVE_INFINITY;
    sequence.background.forEach((depth, i) => {
      if (depth < ahead) ready.push({ sequence, depth, background: i });
      ahead = depth;
    });
    if (sequence.depth < ahead) ready.push({ sequence, depth: sequence.depth, background: undefined });
  }
  return ready;
}

function firstRows(ready: readonly ReadyRow[], most: number, order: SimulatedRowOrder): readonly ReadyRow[] {
  if (ready.length <= most) return ready;
  if (order === 'oldest') return ready.slice(0, most);
  if (order === 'deepest') return ready.toSorted((a, b) => b.depth - a.depth).slice(0, most);
  const counts = new Map<number, number>();
  for (const { depth } of ready) counts.set(depth, (counts.get(depth) ?? 0) + 1);
  const fullness = ({ depth }: ReadyRow) => counts.get(depth)!;
  return ready.toSorted((a, b) => fullness(b) - fullness(a) || b.depth - a.depth).slice(0, most);
}

function decodeStep(
  { costs, decision, exitsAfter, kvPolicy, loops }: Scenario,
  ready: readonly ReadyRow[],
  at: { readonly now: number; readonly queued: boolean },
  end: (sequence: Sequence) => void,
): SimulatedStep {
  let heads = 0;
  let skipped = 0;
  const rows = ready.map(({ sequence, depth, background }): SimulatedRow => {
    const { request } = sequence;
    if (background !== undefined) return { request, depth, role: 'background', outcome: 'stays' };
    const loop = depth + 1;
    const exit = sequence.exits[sequence.token]!;
    if (loop === exit || (decision === 'confidence' && exitsAfter.includes(loop))) heads += 1;
    if (loop !== exit) return { request, depth, role: 'token', outcome: 'stays' };
    const ends = sequence.token === sequence.exits.length - 1;
    // Nobody reads what the last token of a sequence would have left.
    if (!ends) skipped += loops - exit;
    return { request, depth, role: 'token', outcome: ends ? 'ends' : 'leaves' };
  });
  rows.forEach(({ outcome }, i) => {
    const { sequence, background } = ready[i]!;
    if (background !== undefined) {
      sequence.background[background]! += 1;
    } else if (outcome === 'stays') {
      sequence.depth += 1;
    } else if (outcome === 'leaves') {
      sequence.background.push(sequence.depth + 1);
      sequence.depth = 0;
      sequence.token += 1;
    } else {
      end(sequence);
    }
  });
  for (const { sequence } of ready) {
    sequence.background = kvPolicy === 'complete' ? sequence.background.filter((depth) => depth < loops) : [];
  }
  const pass = costs.pass(rows.length);
  const cache = kvPolicy === 'propagate' ? costs.propagate(skipped) : 0;
  return {
    kind: 'decode',
    start: at.now,
    pass,
    head: costs.head(heads),
    cache,
    host: costs.host,
    rows,
    heads,
    queued: at.queued,
  };
}

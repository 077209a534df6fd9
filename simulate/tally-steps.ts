import { type Percentiles, percentiles } from './percentiles.ts';
import type { Scenario } from './scenario.ts';
import { type SimulatedStep, stepDuration } from './schedule/simulated-step.ts';

/** What a simulated schedule came to. Times are milliseconds. */
export interface SimulatedVariant {
  /** New tokens, those of prompts included, over all the time. */
  readonly tokensPerSecond: number;
  /** The same while sequences waited, without prompts and the tokens they gave: what a queue that never empties sees. */
  readonly steadyTokensPerSecond: number | undefined;
  readonly tokens: number;
  readonly steps: number;
  readonly milliseconds: number;
  /** Mean loop behind which decoded tokens left. */
  readonly meanExit: number;
  /** Mean of the rows of decoding steps that did work. */
  readonly rowsPerStep: number;
  /** Rows that did work over the rows there was room for, weighted by time; of decoding steps. */
  readonly occupancy: number;
  readonly timeToFirstToken: Percentiles | undefined;
  readonly latency: Percentiles | undefined;
  readonly breakdown: {
    /** Decoding passes, less what idle rows of them cost. */
    readonly block: number;
    readonly prompt: number;
    readonly head: number;
    /** What passes would have taken less without rows that wait. */
    readonly padding: number;
    readonly cache: number;
    readonly host: number;
    /** No sequence was there. */
    readonly wait: number;
  };
  /** How many decoding steps ran so many rows, ascending. */
  readonly rowsOfSteps: readonly { readonly rows: number; readonly steps: number; readonly milliseconds: number }[];
  /** The rows that a graph should be tuned for: half of the decoding time goes into steps of at most so many. */
  readonly tuneForRows: number;
}

/** Takes the steps of a schedule one by one. */
export interface StepTally {
  readonly add: (step: SimulatedStep) => void;
  readonly result: () => SimulatedVariant;
}

export function stepTally(scenario: Scenario): StepTally {
  const { costs, requests } = scenario;
  const room = Math.min(scenario.maxRows, scenario.maxSequences);
  const sums = { block: 0, prompt: 0, head: 0, padding: 0, cache: 0, host: 0 };
  const byRows = new Map<number, { steps: number; milliseconds: number }>();
  const first: number[] = [];
  const last: number[] = [];
  const firstAt = new Map<number, number>();
  const steady = { tokens: 0, milliseconds: 0 };
  let [steps, decodes, tokens, decoded, loops, workingRows, working, available, end] = [0, 0, 0, 0, 0, 0, 0, 0, 0];

  const addDecode = (step: SimulatedStep, duration: number) => {
    const busy = step.rows.filter(({ role }) => role !== 'idle').length;
    const padding = busy === step.rows.length ? 0 : step.pass - costs.pass(busy);
    sums.block += step.pass - padding;
    sums.padding += padding;
    decodes += 1;
    workingRows += busy;
    working += busy * duration;
    available += Math.max(room, step.rows.length) * duration;
    const entry = byRows.get(step.rows.length) ?? { steps: 0, milliseconds: 0 };
    byRows.set(step.rows.length, { steps: entry.steps + 1, milliseconds: entry.milliseconds + duration });
    const given = step.rows.filter(({ outcome }) => outcome !== 'stays');
    decoded += given.length;
    for (const { depth } of given) loops += depth + 1;
    if (!step.queued) return;
    steady.tokens += given.length;
    steady.milliseconds += duration;
  };

  const add = (step: SimulatedStep) => {
    const duration = stepDuration(step);
    end = step.start + duration;
    steps += 1;
    sums.head += step.head;
    sums.cache += step.cache;
    sums.host += step.host;
    if (step.kind === 'prefill') sums.prompt += step.pass;
    else addDecode(step, duration);
    for (const { request, outcome } of step.rows) {
      if (outcome === 'stays') continue;
      tokens += 1;
      const { arrival } = requests[request]!;
      if (!firstAt.has(request)) {
        firstAt.set(request, end);
        first.push(end - arrival);
      }
      if (outcome === 'ends') last.push(end - arrival);
    }
  };

  const result = (): SimulatedVariant => {
    const spent = Object.values(sums).reduce((a, b) => a + b, 0);
    const rowsOfSteps = [...byRows].map(([rows, entry]) => ({ rows, ...entry })).sort((a, b) => a.rows - b.rows);
    return {
      tokensPerSecond: perSecond(tokens, end),
      steadyTokensPerSecond: steady.milliseconds === 0 ? undefined : perSecond(steady.tokens, steady.milliseconds),
      tokens,
      steps,
      milliseconds: end,
      meanExit: decoded === 0 ? scenario.loops : loops / decoded,
      rowsPerStep: decodes === 0 ? 0 : workingRows / decodes,
      occupancy: available === 0 ? 0 : working / available,
      timeToFirstToken: percentiles(first),
      latency: percentiles(last),
      breakdown: { ...sums, wait: Math.max(0, end - spent) },
      rowsOfSteps,
      tuneForRows: middleRows(rowsOfSteps),
    };
  };
  return { add, result };
}

function perSecond(tokens: number, milliseconds: number): number {
  return milliseconds === 0 ? 0 : (1000 * tokens) / milliseconds;
}

function middleRows(steps: readonly { readonly rows: number; readonly milliseconds: number }[]): number {
  const half = steps.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 2;
  let sum = 0;
  for (const { rows, milliseconds } of steps) {
    sum += milliseconds;
    if (sum >= half) return rows;
  }
  return 0;
}

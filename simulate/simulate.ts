import { closedForm } from './closed-form.ts';
import { type ExitShares, meanExit } from './exit-shares.ts';
import { expectedRows, type TunedSizes } from './expected-rows.ts';
import type { Simulation } from './read/read-simulation.ts';
import { type Scenario, type SimulatedBatching, type SimulatedRequest, simulatedBatchings } from './scenario.ts';
import { simulateBatching } from './simulate-batching.ts';
import type { SimulatedVariant } from './tally-steps.ts';

/** One way to batch, simulated and by its formula. */
export interface BatchingResult extends SimulatedVariant {
  readonly batching: SimulatedBatching;
  /** Tokens per second while the queue never empties, by formula; prompts are not in it. */
  readonly closedForm: number;
  /** Simulated tokens per second over those of full depth. */
  readonly gain: number;
}

/** All ways to batch, at one number of rows. */
export interface SimulatedRun {
  readonly maxRows: number;
  readonly maxSequences: number;
  /** What keeps steps from having more rows. */
  readonly limitedBy: 'max-rows' | 'max-sequences' | 'memory' | 'workload';
  readonly batchings: readonly BatchingResult[];
  /** Loops over mean exit: what the exits allow when heads and host cost nothing. */
  readonly gain: number;
  /** Depth-wise over full depth by their formulas: with heads, host and caches. */
  readonly gainWithAll: number;
  /** Sizes to tune a graph for that decodes depth-wise while the queue never empties. */
  readonly tuneFor: TunedSizes;
}

/** What a simulation came to. */
export interface SimulationReport {
  readonly name?: string;
  readonly source?: string;
  readonly loops: number;
  readonly exits: ExitShares;
  readonly meanExit: number;
  readonly kvPolicy: Scenario['kvPolicy'];
  readonly decision: Scenario['decision'];
  readonly sequences: number;
  /** Sequences whose caches fit into memory, where something was said of it. */
  readonly fitting?: number;
  /** Parts that the times do not have, and that cost nothing here. */
  readonly notCounted: readonly ('heads' | 'prompts' | 'host')[];
  readonly runs: readonly SimulatedRun[];
}

/**
 * Simulates every way to batch at every number of rows.
 * @param options `signal` stops it: the result is undefined; `onProgress` hears what is being simulated
 */
export async function simulate(
  { name, profile, exits, fitting, scenarios }: Simulation,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (step: string) => void } = {},
): Promise<SimulationReport | undefined> {
  const runs: SimulatedRun[] = [];
  for (const scenario of scenarios) {
    const run = await simulateRun(scenario, exits, fitting, options);
    if (run === undefined) return undefined;
    runs.push(run);
  }
  const { loops, kvPolicy, decision, requests } = scenarios[0]!;
  const notCounted = (['heads', 'prompt', 'host'] as const)
    .filter((part) => profile[part] === undefined)
    .map((part) => (part === 'prompt' ? 'prompts' : part));
  return {
    ...(name === undefined ? {} : { name }),
    ...(profile.source === undefined ? {} : { source: profile.source }),
    loops,
    exits,
    meanExit: meanExit(exits),
    kvPolicy,
    decision,
    sequences: requests.length,
    ...(fitting === undefined ? {} : { fitting }),
    notCounted,
    runs,
  };
}

async function simulateRun(
  scenario: Scenario,
  exits: ExitShares,
  fitting: number | undefined,
  { signal, onProgress }: { readonly signal?: AbortSignal; readonly onProgress?: (step: string) => void },
): Promise<SimulatedRun | undefined> {
  const { maxRows, maxSequences, loops, requests } = scenario;
  const rows = Math.min(maxRows, maxSequences, requests.length);
  const formula = (batching: SimulatedBatching) =>
    closedForm({ ...scenario, exits, rows, evenness: evenness(requests, rows) }, batching);
  const variants: (SimulatedVariant & { readonly batching: SimulatedBatching })[] = [];
  for (const batching of simulatedBatchings) {
    onProgress?.(`${batching}, ${maxRows} rows`);
    const variant = await simulateBatching(scenario, batching, signal);
    if (variant === undefined) return undefined;
    variants.push({ batching, ...variant });
  }
  const full = variants.find(({ batching }) => batching === 'full-depth')!.tokensPerSecond;
  return {
    maxRows,
    maxSequences,
    limitedBy: limitOf(scenario, rows, fitting),
    batchings: variants.map((variant) => ({
      ...variant,
      closedForm: formula(variant.batching),
      gain: variant.tokensPerSecond / full,
    })),
    gain: loops / meanExit(exits),
    gainWithAll: formula('depth-wise') / formula('full-depth'),
    tuneFor: expectedRows({ slots: rows, exits }).tuneFor,
  };
}

function limitOf({ maxRows, maxSequences }: Scenario, rows: number, fitting: number | undefined) {
  if (rows === maxRows && fitting !== maxRows) return 'max-rows';
  if (rows === fitting) return 'memory';
  return rows === maxSequences ? 'max-sequences' : 'workload';
}

/** Mean length of sequences over the mean length of the longest of each batch, when they are taken in order. */
function evenness(requests: readonly SimulatedRequest[], rows: number): number {
  let all = 0;
  let longest = 0;
  for (let from = 0; from < requests.length; from += rows) {
    // A last batch that is not full stands for a queue that goes on.
    const batch = requests.slice(from, from + rows).map(({ exits }) => exits.length);
    if (batch.length < rows && from > 0) break;
    all += batch.reduce((a, b) => a + b, 0) / batch.length;
    longest += Math.max(...batch);
  }
  return longest === 0 ? 1 : all / longest;
}

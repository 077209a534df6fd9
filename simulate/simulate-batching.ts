import { setImmediate } from 'node:timers/promises';
import type { Scenario, SimulatedBatching } from './scenario.ts';
import { simulatedSteps } from './schedule/simulated-steps.ts';
import { type SimulatedVariant, stepTally } from './tally-steps.ts';

const stepsBetweenBreaths = 5000;

/**
 * Runs a scenario to its end. Lets other work go on now and then.
 * @param signal stops it: the result is undefined
 */
export async function simulateBatching(
  scenario: Scenario,
  batching: SimulatedBatching,
  signal?: AbortSignal,
): Promise<SimulatedVariant | undefined> {
  const tally = stepTally(scenario);
  let steps = 0;
  for (const step of simulatedSteps(scenario, batching)) {
    tally.add(step);
    steps += 1;
    if (steps % stepsBetweenBreaths !== 0) continue;
    await setImmediate();
    if (signal?.aborted) return undefined;
  }
  return tally.result();
}

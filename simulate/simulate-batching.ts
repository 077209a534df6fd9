import { setImmediate } from 'node:timers/promises';
import type { Scenario, SimulatedBatching } from './scenario.ts';
import { depthWiseSteps } from './schedule/depth-wise-steps.ts';
import { sequenceWiseSteps } from './schedule/sequence-wise-steps.ts';
import type { SimulatedStep } from './schedule/simulated-step.ts';
import { type SimulatedVariant, stepTally } from './tally-steps.ts';

/** The steps of a scenario, one after the other, as the scheduler of `batching` would run them. */
export function simulatedSteps(scenario: Scenario, batching: SimulatedBatching): Generator<SimulatedStep> {
  return batching === 'depth-wise' ? depthWiseSteps(scenario) : sequenceWiseSteps(scenario, batching);
}

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

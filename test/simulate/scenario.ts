import type { Scenario, SimulatedRequest } from '../../simulate/scenario.ts';
import { stepCosts } from '../../simulate/step-costs.ts';

/** A scenario of 3 loops in which a pass takes 10 ms and a head 1 ms, whatever their size, with parts changed. */
export function scenarioOf(exits: readonly (readonly number[])[], changes: Partial<Scenario> = {}): Scenario {
  return {
    loops: 3,
    exitsAfter: [1, 2],
    costs: stepCosts({ passes: [{ rows: 1, milliseconds: 10 }], heads: [{ heads: 1, milliseconds: 1 }] }),
    requests: exits.map((each): SimulatedRequest => ({ arrival: 0, promptTokens: 0, exits: each })),
    maxRows: 2,
    maxSequences: 2,
    rowOrder: 'oldest',
    kvPolicy: 'last-exited',
    decision: 'known',
    prefillChunk: 64,
    ...changes,
  };
}

import { binomial, expectation } from './binomial.ts';
import { type ExitShares, meanExit, sharesByDepth } from './exit-shares.ts';
import type { Scenario, SimulatedBatching } from './scenario.ts';

/** What the formulas need of a scenario; where tokens leave, they know by shares alone. */
export interface SteadyScenario extends Pick<Scenario, 'loops' | 'exitsAfter' | 'costs' | 'kvPolicy' | 'decision'> {
  readonly exits: ExitShares;
  /** Rows of a step, as many as sequences under way. */
  readonly rows: number;
  /**
   * Of a batch in `vanilla`: mean length of its sequences over mean length of its longest; 1 when all are equally long.
   */
  readonly evenness?: number;
}

/**
 * Tokens per second while the queue never empties, prompts not counted, of tokens that leave independently of each
 * other. With M rows, P(n) a pass of n rows with what the host adds, H(n) the heads of n rows, E the mean exit, R loops,
 * and n_d rows left at depth d:
 *
 * ```
 * full-depth             M / (R·P(M) + H(M))
 * vanilla                the same, times the evenness
 * sequence-wise          M / Σ_d Pr(n_d > 0)·P(M) + E[H(rows that leave at d)]
 * sequence-wise-shrink   M / Σ_d E[P(n_d)]        + E[H(rows that leave at d)]
 * depth-wise             M / E·(P(M) + E[H(rows that leave in a step)])
 * ```
 *
 * Where confidence decides, heads run for all rows at an exit instead of those that leave. `propagate` adds the keys and
 * values of skipped loops; with `complete` every token runs every loop, whatever its exit.
 */
export function closedForm(scenario: SteadyScenario, batching: SimulatedBatching): number {
  const { rows } = scenario;
  switch (batching) {
    case 'full-depth':
      return perSecond(rows, fullDepth(scenario));
    case 'vanilla':
      return perSecond(rows, fullDepth(scenario)) * (scenario.evenness ?? 1);
    case 'depth-wise':
      return perSecond(rows, depthWise(scenario));
    default:
      return perSecond(rows, sequenceWise(scenario, batching === 'sequence-wise-shrink'));
  }
}

function perSecond(tokens: number, milliseconds: number): number {
  return (1000 * tokens) / milliseconds;
}

function fullDepth({ costs, loops, rows }: SteadyScenario): number {
  return loops * (costs.pass(rows) + costs.host) + costs.head(rows);
}

/** Milliseconds in which every row gets a token. */
function depthWise({ costs, exits, loops, rows, kvPolicy, decision, exitsAfter }: SteadyScenario): number {
  const mean = meanExit(exits);
  // A row of a step is at depth d with probability running[d] / mean.
  const running = sharesByDepth(exits);
  const complete = kvPolicy === 'complete';
  const passes = complete ? loops : mean;
  const asking = running.reduce(
    (sum, share, depth) => sum + (decision === 'confidence' && exitsAfter.includes(depth + 1) ? share : exits[depth]!),
    0,
  );
  const heads = expectation(binomial(rows, asking / passes), costs.head);
  const skipped = kvPolicy === 'propagate' ? costs.propagate((rows * (loops - mean)) / mean) : 0;
  return passes * (costs.pass(rows) + costs.host + heads + skipped);
}

function sequenceWise(scenario: SteadyScenario, shrink: boolean): number {
  const { costs, exits, loops, rows, kvPolicy, decision, exitsAfter } = scenario;
  const running = sharesByDepth(exits);
  const complete = kvPolicy === 'complete';
  return running.reduce((sum, share, depth) => {
    const left = binomial(rows, share);
    const all = costs.pass(rows) + costs.host;
    const pass = complete ? all : expectation(left, (n) => (n === 0 ? 0 : shrink ? costs.pass(n) + costs.host : all));
    const asks = decision === 'confidence' && exitsAfter.includes(depth + 1);
    const head = expectation(asks ? left : binomial(rows, exits[depth]!), costs.head);
    const leaving = rows * exits[depth]! * (loops - depth - 1);
    const cache = kvPolicy === 'propagate' ? costs.propagate(leaving) : 0;
    return sum + pass + head + cache;
  }, 0);
}

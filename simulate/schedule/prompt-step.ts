import type { Scenario } from '../scenario.ts';
import type { SimulatedStep } from './simulated-step.ts';

/** A pass of a prompt; the last one gives the sequence's first token. */
export function promptStep(
  { costs, requests }: Scenario,
  pass: { readonly request: number; readonly tokens: number; readonly depth: number; readonly last: boolean },
  at: { readonly now: number; readonly queued: boolean },
): SimulatedStep {
  const { request, depth, tokens, last } = pass;
  const outcome = !last ? 'stays' : requests[request]!.exits.length === 0 ? 'ends' : 'leaves';
  return {
    kind: 'prefill',
    start: at.now,
    pass: costs.prompt?.(tokens) ?? 0,
    head: last ? costs.head(1) : 0,
    cache: 0,
    host: costs.host,
    rows: [{ request, depth, role: 'prompt', outcome }],
    heads: last ? 1 : 0,
    queued: at.queued,
  };
}

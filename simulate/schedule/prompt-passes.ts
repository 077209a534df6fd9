import type { Scenario, SimulatedRequest } from '../scenario.ts';

/** Passes that a prompt takes, in order: every chunk runs every loop before the next one starts. */
export function promptPasses(
  { costs, loops, prefillChunk }: Scenario,
  { promptTokens }: SimulatedRequest,
): readonly { readonly tokens: number; readonly depth: number }[] {
  const passes: { tokens: number; depth: number }[] = [];
  if (costs.prompt === undefined) return passes;
  for (let from = 0; from < promptTokens; from += prefillChunk) {
    const tokens = Math.min(prefillChunk, promptTokens - from);
    for (let depth = 0; depth < loops; depth++) passes.push({ tokens, depth });
  }
  return passes;
}

import type { Scenario } from '../scenario.ts';
import { isReady, type SimulatedPass, type SimulatedSequence } from './simulated-pass.ts';

/** The runtime pads rows of several tokens to a multiple of this. */
const lanes = 16;

/**
 * Rows of the next prefill step: chunks of prompts at any depth, the oldest sequence's deepest first. Together, padding
 * included, they have no more tokens than one whole chunk.
 * @param running oldest first
 */
export function prefillRows(
  running: readonly SimulatedSequence[],
  { prefillChunk }: Scenario,
): readonly SimulatedPass[] {
  const rows: SimulatedPass[] = [];
  let longest = 0;
  for (const { passes } of running) {
    for (const pass of passes) {
      if (pass.tokens === 1 || !isReady(pass)) continue;
      const padded = Math.max(longest, Math.ceil(pass.tokens / lanes) * lanes);
      if (rows.length > 0 && (rows.length + 1) * padded > prefillChunk) continue;
      rows.push(pass);
      longest = padded;
    }
  }
  return rows;
}

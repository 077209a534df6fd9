import { paddedTokens } from './padded-tokens.ts';
import { isReady, type Pass, type PassRules, type Sequence } from './sequence.ts';

/**
 * The rows of the next prefill step: chunks of several tokens, of one or more sequences and at any depth, the oldest
 * sequence's deepest chunk first. Together, padding included, they have no more tokens than one whole chunk: beyond
 * that a step gets slower as it gets larger, and those who decode wait for it.
 * @param running oldest first
 */
export function prefillRows(running: readonly Sequence[], { shape, prefillChunk }: PassRules): readonly Pass[] {
  const rows: Pass[] = [];
  let longest = 0;
  for (const { passes } of running) {
    for (const pass of passes) {
      const { length } = pass.tokens;
      if (length === 1 || !isReady(pass, shape)) continue;
      const padded = Math.max(longest, paddedTokens(length));
      if (rows.length > 0 && (rows.length + 1) * padded > prefillChunk) continue;
      rows.push(pass);
      longest = padded;
    }
  }
  return rows;
}

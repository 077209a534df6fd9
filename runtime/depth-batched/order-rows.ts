import type { RowOrder } from './core.ts';
import type { Pass } from './sequence.ts';

/** Steps that `fullest` passes a row over before it goes first. */
const patience = 16;

/**
 * The rows that a step takes, of those that are ready.
 * `oldest`: rows of the sequences that came first. `deepest`: rows with the fewest loops left, so that tokens come out
 * and pages go back soon. `fullest`: rows of the depth at which most are ready, so that a step has few depths; a row
 * that was passed over too often goes first all the same. Ties go to the older sequence.
 * @param ready oldest sequence first
 */
export function orderRows(ready: readonly Pass[], maxRows: number, order: RowOrder): readonly Pass[] {
  if (ready.length <= maxRows) return ready;
  const taken = sorted(ready, order).slice(0, maxRows);
  for (const pass of ready) pass.passedOver++;
  for (const pass of taken) pass.passedOver = 0;
  return taken;
}

function sorted(ready: readonly Pass[], order: RowOrder): readonly Pass[] {
  switch (order) {
    case 'oldest':
      return ready;
    case 'deepest':
      return ready.toSorted((a, b) => b.depth - a.depth);
    case 'fullest': {
      const rows: number[] = [];
      for (const { depth } of ready) rows[depth] = (rows[depth] ?? 0) + 1;
      const late = ({ passedOver }: Pass) => (passedOver >= patience ? passedOver : 0);
      return ready.toSorted((a, b) => late(b) - late(a) || rows[b.depth]! - rows[a.depth]! || b.depth - a.depth);
    }
  }
}

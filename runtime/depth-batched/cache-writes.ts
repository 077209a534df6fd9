import type { Pass, PassRules } from './sequence.ts';
import type { CacheWrite, ExitState } from './step-model.ts';

/** Pages of a pass at a depth: the only ones there are under `shared`. */
export function pagesAt({ pages }: Pass, depth: number): readonly number[] {
  return pages.block[depth] ?? pages.block[0]!;
}

/**
 * Where the entries go that a pass made at its depth, and, when it leaves there, those of the loops that it skips.
 * @param row of the step
 */
export function cacheWrites(row: number, pass: Pass, leaves: boolean, { shape, policy }: PassRules): CacheWrite[] {
  const { depth, position, pages } = pass;
  const write = (part: CacheWrite['part'], to: readonly number[]): CacheWrite => {
    return { part, row, firstToken: 0, tokens: pass.tokens.length, pages: to, position };
  };
  const writes = [write('block', pagesAt(pass, depth))];
  if (depth === 0 && shape.prelude > 0) writes.push(write('prelude', pages.boundary));
  if (leaves && shape.coda > 0) writes.push(write('coda', pages.boundary));
  if (leaves && policy === 'last-exited') {
    for (let deeper = depth + 1; deeper < shape.loops; deeper++) writes.push(write('block', pagesAt(pass, deeper)));
  }
  return writes;
}

/** The loops that a pass skips when it leaves at its depth, for the policy `propagate`. */
export function exitStates(pass: Pass, hidden: ExitState['hidden'], { shape }: PassRules): ExitState[] {
  const states: ExitState[] = [];
  for (let depth = pass.depth + 1; depth < shape.loops; depth++) {
    states.push({ hidden, depth, position: pass.position, pages: pagesAt(pass, depth) });
  }
  return states;
}

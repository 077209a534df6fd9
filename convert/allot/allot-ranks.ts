import { invariant } from '../../ir/invariant.ts';

/** A matrix that may get factors. */
export interface RankCandidate {
  readonly key: string;
  readonly rows: number;
  readonly cols: number;
  /** Singular values of what factors are to bring back, descending; as many as are known. */
  readonly singular: ArrayLike<number>;
}

/**
 * The ranks with which factors bring back the most, in the squared Frobenius norm, with `parameters` numbers at most:
 * rank r of a matrix brings back its r largest σ² and has r · (rows + cols) numbers. Every key is in the result; rank 0
 * is no factors, and what brings nothing back gets none.
 *
 * One rank more of a matrix always has the same price and brings back less than the one before it. So the steps of all
 * matrices are taken in the order of what they bring back for their price, and no other ranks with at most as many
 * numbers as those taken bring back more. Only the end of the budget is not such a point: what no longer fits is passed
 * over for the best that does, and the loss to the very best ranks is less than the first step that was passed over
 * brings back.
 */
export function allotRanks(candidates: readonly RankCandidate[], parameters: number): ReadonlyMap<string, number> {
  const ranks = new Map(candidates.map(({ key }) => [key, 0]));
  invariant(ranks.size === candidates.length, 'two matrices have the same key');
  const steps = candidates.flatMap(({ rows, cols, singular }, matrix) => {
    const price = rows + cols;
    const most = Math.min(singular.length, rows, cols);
    let least = Number.POSITIVE_INFINITY;
    return Array.from({ length: most }, (_, i) => {
      // Values that are computed may be out of order by a rounding, and ranks are taken from the first on.
      least = Math.min(least, singular[i]!);
      return { matrix, i, price, worth: (least * least) / price };
    });
  });
  // Equal ones in the order of the matrices, so that the result is the same everywhere.
  steps.sort((a, b) => b.worth - a.worth || a.matrix - b.matrix || a.i - b.i);
  let left = parameters;
  for (const { matrix, price, worth } of steps) {
    if (worth === 0) break;
    // The following steps of this matrix have the same price, so that none of them fits either.
    if (price > left) continue;
    const { key } = candidates[matrix]!;
    ranks.set(key, ranks.get(key)! + 1);
    left -= price;
  }
  return ranks;
}

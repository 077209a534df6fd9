/** Holds the mean of the loops that tokens run, for requests with the exit rule `budget`. */
export interface Budgets {
  readonly threshold: (meanLoops: number) => number;
  /** A token that was held to this mean has left. */
  readonly left: (meanLoops: number, loops: number) => void;
}

/** How far a token that runs a loop too many lowers the threshold. */
const gain = 0.02;

/**
 * A threshold for every mean that is asked for, moved by what each token ran more or less than that mean. As the
 * threshold stays within bounds, so does the sum of what it was moved by: the mean comes as close as one over the number
 * of tokens, whatever the confidences are like, as long as some threshold reaches it. The same exits in the same order
 * give the same thresholds.
 * @param start threshold to begin with
 */
export function createBudgets(start: number): Budgets {
  // Beyond 0 everybody leaves, beyond 1 nobody; the margins take up what tokens under way still add.
  const [lowest, highest] = [-0.2, 1.2];
  const thresholds = new Map<number, number>();
  // Means that differ by less than this are one, so that there are only so many.
  const keyOf = (meanLoops: number) => Math.round(meanLoops * 1000);
  const threshold = (meanLoops: number) => thresholds.get(keyOf(meanLoops)) ?? Math.min(start, 1);
  return {
    threshold,
    left: (meanLoops, loops) => {
      const moved = threshold(meanLoops) + gain * (meanLoops - loops);
      thresholds.set(keyOf(meanLoops), Math.min(highest, Math.max(lowest, moved)));
    },
  };
}

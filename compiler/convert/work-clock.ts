/** Says how long the rest of some work should take. */
export interface WorkClock {
  /** Counts work that is done, in the unit of the total. */
  readonly did: (work: number) => void;
  /** Counts work that took no time, since an earlier call had done it. */
  readonly skipped: (work: number) => void;
  /** Undefined before there is enough to go by. */
  readonly secondsLeft: () => number | undefined;
}

/** @param clock milliseconds since any moment */
export function workClock(total: number, clock: () => number = () => performance.now()): WorkClock {
  const started = clock();
  let [done, free] = [0, 0];
  return {
    did: (work) => {
      done += work;
    },
    skipped: (work) => {
      free += work;
    },
    secondsLeft: () => {
      const seconds = (clock() - started) / 1000;
      return done > 0 && seconds >= 0.5 ? (seconds / done) * Math.max(0, total - done - free) : undefined;
    },
  };
}

/** About how many multiplications a truncated decomposition takes: only how matrices compare matters. */
export function decompositionWork(rows: number, cols: number, rank: number): number {
  const [narrow, wide] = [Math.min(rows, cols), Math.max(rows, cols)];
  // Products with all of the matrix, several times, and work on what they give; or small, and then exact.
  const columns = Math.min(narrow, rank + 16);
  return narrow * wide + Math.min(8 * narrow * wide * columns + 4 * wide * columns ** 2, 12 * wide * narrow ** 2);
}

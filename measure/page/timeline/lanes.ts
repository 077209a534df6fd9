import type { TimelineStep } from '../../bench-document.ts';

type TimelineRow = TimelineStep['rows'][number];

/** A row of a step, with the lane in which it is drawn. */
export interface LaidRow {
  readonly lane: number;
  readonly row: TimelineRow;
}

/**
 * Gives every row a lane that its request keeps from its first step to its last, as it keeps its slot: the lowest that
 * is free. A request that has several rows in a step (a token, and one that runs on for its cache) takes further lanes.
 */
export function layRows(steps: readonly TimelineStep[]): {
  readonly steps: readonly (readonly LaidRow[])[];
  readonly lanes: number;
} {
  const lastStep = new Map<string, number>();
  steps.forEach(({ rows }, i) => {
    for (const key of rowKeys(rows)) lastStep.set(key, i);
  });
  const laneOf = new Map<string, number>();
  const taken: boolean[] = [];
  const laid = steps.map(({ rows }, i) => {
    const keys = rowKeys(rows);
    for (const key of keys) {
      if (laneOf.has(key)) continue;
      const free = taken.indexOf(false);
      const lane = free < 0 ? taken.length : free;
      taken[lane] = true;
      laneOf.set(key, lane);
    }
    const placed = rows.map((row, r): LaidRow => ({ lane: laneOf.get(keys[r]!)!, row }));
    for (const key of keys) if (lastStep.get(key) === i) taken[laneOf.get(key)!] = false;
    return placed;
  });
  return { steps: laid, lanes: taken.length };
}

/** `request.n`, n counting the rows of a request in this step. */
function rowKeys(rows: readonly TimelineRow[]): readonly string[] {
  const counts = new Map<number, number>();
  return rows.map(([request]) => {
    const count = counts.get(request) ?? 0;
    counts.set(request, count + 1);
    return `${request}.${count}`;
  });
}

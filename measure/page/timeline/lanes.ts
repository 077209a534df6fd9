import type { TimelineStep } from '../../bench-document.ts';

type TimelineRow = TimelineStep['rows'][number];

/** A row of a step, with the lane in which it is drawn. */
export interface LaidRow {
  readonly lane: number;
  readonly row: TimelineRow;
}

/**
 * Gives every row a lane that its request keeps to its last token, as it keeps its slot: the lowest that is free. A
 * request that has several rows in a step (a token, and one that runs on for its cache) takes further lanes. A row that
 * only rides along behind its last token stays where it was, unless somebody else is there by then.
 */
export function layRows(steps: readonly TimelineStep[]): {
  readonly steps: readonly (readonly LaidRow[])[];
  readonly lanes: number;
} {
  const lastStep = lastSteps(steps);
  const laneOf = new Map<string, number>();
  const owners: (string | undefined)[] = [];
  const claim = (key: string, isFree: (lane: number) => boolean) => {
    let lane = 0;
    while (owners[lane] !== undefined || !isFree(lane)) lane += 1;
    owners[lane] = key;
    laneOf.set(key, lane);
  };
  const laid = steps.map(({ rows }, i) => {
    const keys = rowKeys(rows);
    const inUse = new Set<number>();
    const owned = (key: string) => owners[laneOf.get(key) ?? -1] === key;
    for (const key of keys) if (owned(key)) inUse.add(laneOf.get(key)!);
    for (const key of keys) {
      if (owned(key)) continue;
      const before = laneOf.get(key);
      if (before === undefined || inUse.has(before)) claim(key, (lane) => !inUse.has(lane));
      inUse.add(laneOf.get(key)!);
    }
    const placed = rows.map((row, r): LaidRow => ({ lane: laneOf.get(keys[r]!)!, row }));
    for (const [r, key] of keys.entries()) {
      const over = rows[r]![3] === 'ends' || lastStep.get(key) === i;
      if (over && owned(key)) owners[laneOf.get(key)!] = undefined;
    }
    return placed;
  });
  const used = laid.flatMap((rows) => rows.map(({ lane }) => lane + 1));
  return { steps: laid, lanes: used.reduce((a, b) => Math.max(a, b), 0) };
}

function lastSteps(steps: readonly TimelineStep[]): ReadonlyMap<string, number> {
  const last = new Map<string, number>();
  steps.forEach(({ rows }, i) => {
    for (const key of rowKeys(rows)) last.set(key, i);
  });
  return last;
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

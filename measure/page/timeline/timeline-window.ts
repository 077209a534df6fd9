import type { TimelineStep } from '../../bench-document.ts';

/** A stretch of time, in milliseconds. */
export interface TimelineWindow {
  readonly from: number;
  readonly to: number;
}

/** Columns that can still be told from each other. */
const mostColumns = 150;
/** Fewer say too little; then even the filling of the slots is shown. */
const fewestColumns = 50;

/**
 * The stretch that is drawn of several timelines, the same for all: workloads that are short as a whole; of longer ones
 * what comes after the slots have filled, as long as columns stay visible.
 * @param maxRows rows of a step when all slots are in use
 */
export function timelineWindow(timelines: readonly (readonly TimelineStep[])[], maxRows: number): TimelineWindow {
  const ends = timelines.map((steps) => endOf(steps));
  const longest = Math.max(0, ...ends);
  if (timelines.every(({ length }) => length <= mostColumns)) return { from: 0, to: longest };
  const covered = Math.min(...ends);
  const filled = Math.max(0, ...timelines.map((steps) => filledAt(steps, maxRows)));
  const from = timelines.every((steps) => columnsIn(steps, filled, covered) >= fewestColumns) ? filled : 0;
  const to = Math.min(covered, ...timelines.map((steps) => endOfColumns(steps, from)));
  return { from, to };
}

/** Steps of which at least half lies in the stretch. */
export function stepsIn(steps: readonly TimelineStep[], { from, to }: TimelineWindow): readonly TimelineStep[] {
  return steps.filter(({ start, duration }) => start + duration / 2 >= from && start + duration / 2 < to);
}

/** Tokens that steps ending in the stretch gave. */
export function tokensIn(steps: readonly TimelineStep[], { from, to }: TimelineWindow): number {
  return steps
    .filter(({ start, duration }) => start + duration > from && start + duration <= to * (1 + 1e-9))
    .reduce((sum, { rows }) => sum + rows.filter(([, , , outcome]) => outcome !== 'stays').length, 0);
}

function endOf(steps: readonly TimelineStep[]): number {
  const last = steps.at(-1);
  return last === undefined ? 0 : last.start + last.duration;
}

/** When a decoding step first had nearly all the rows that it could have, rows that wait included. */
function filledAt(steps: readonly TimelineStep[], maxRows: number): number {
  const full = steps.find(({ rows }) => rows.filter(([, , role]) => role !== 'prompt').length >= 0.9 * maxRows);
  return full?.start ?? 0;
}

function columnsIn(steps: readonly TimelineStep[], from: number, to: number): number {
  return stepsIn(steps, { from, to }).length;
}

function endOfColumns(steps: readonly TimelineStep[], from: number): number {
  const shown = steps.filter(({ start }) => start >= from).slice(0, mostColumns);
  return endOf(shown);
}

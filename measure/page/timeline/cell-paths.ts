import type { RowRole, TimelineStep } from '../../bench-document.ts';
import { coordinate } from '../quantities.ts';
import type { LaidRow } from './lanes.ts';

/** How cells are filled: by depth, or for what they are besides a token on its way. */
export type CellFill = { readonly depth: number; readonly role: 'token' | 'background' | 'replay' } | 'prompt' | 'idle';

/** Cells of one fill as the `d` of a path: thousands of cells are a handful of elements. */
export interface CellPath {
  readonly fill: CellFill;
  readonly path: string;
}

/** Where cells go. */
export interface CellScale {
  readonly x: (milliseconds: number) => number;
  /** Top of a lane. */
  readonly y: (lane: number) => number;
  readonly laneHeight: number;
}

/** The cells of a timeline, by fill. */
export function cellPaths(
  steps: readonly TimelineStep[],
  laid: readonly (readonly LaidRow[])[],
  scale: CellScale,
): readonly CellPath[] {
  const paths = new Map<string, { readonly fill: CellFill; readonly cells: string[] }>();
  steps.forEach((step, i) => {
    const left = scale.x(step.start);
    const wide = scale.x(step.start + step.duration) - left;
    // Columns are told apart by a gap, as long as that leaves most of them.
    const width = coordinate(Math.max(wide - (wide > 3 ? 0.8 : wide * 0.15), 0.2));
    for (const { lane, row } of laid[i]!) {
      const fill = fillOf(row[2], row[1]);
      const key = JSON.stringify(fill);
      const entry = paths.get(key) ?? { fill, cells: [] };
      const height = coordinate(scale.laneHeight - (scale.laneHeight > 5 ? 1 : 0.3));
      entry.cells.push(`M${coordinate(left)} ${coordinate(scale.y(lane))}h${width}v${height}h-${width}z`);
      paths.set(key, entry);
    }
  });
  return [...paths.values()].map(({ fill, cells }) => ({ fill, path: cells.join('') }));
}

/** Dots for tokens, and bars where sequences end, as paths. */
export function markPaths(
  steps: readonly TimelineStep[],
  laid: readonly (readonly LaidRow[])[],
  scale: CellScale,
): { readonly tokens: string; readonly ends: string } {
  const tokens: string[] = [];
  const ends: string[] = [];
  steps.forEach((step, i) => {
    const right = scale.x(step.start + step.duration);
    const wide = right - scale.x(step.start);
    for (const { lane, row } of laid[i]!) {
      const top = scale.y(lane);
      const middle = coordinate(top + (scale.laneHeight - 1) / 2);
      if (row[3] === 'leaves') tokens.push(`M${coordinate(right - Math.min(wide / 2, 4))} ${middle}h0`);
      if (row[3] === 'ends')
        ends.push(`M${coordinate(right - 2)} ${coordinate(top)}v${coordinate(scale.laneHeight - 1)}`);
    }
  });
  return { tokens: tokens.join(''), ends: ends.join('') };
}

/** Rows at work over time, as the outline of an area that stands on `bottom`. */
export function workingRowsPath(
  steps: readonly TimelineStep[],
  x: CellScale['x'],
  bottom: number,
  rowHeight: number,
): string {
  const parts = steps.map(({ start, duration, rows }) => {
    const working = rows.filter(([, , role]) => role !== 'idle').length;
    const width = coordinate(x(start + duration) - x(start));
    return `M${coordinate(x(start))} ${bottom}v-${coordinate(working * rowHeight)}h${width}v${coordinate(working * rowHeight)}z`;
  });
  return parts.join('');
}

function fillOf(role: RowRole, depth: number): CellFill {
  return role === 'prompt' || role === 'idle' ? role : { depth, role };
}

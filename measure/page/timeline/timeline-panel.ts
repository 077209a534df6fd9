import type { BenchVariant, TimelineStep } from '../../bench-document.ts';
import { html, type Markup } from '../markup.ts';
import { coordinate, duration, percent, plural, times } from '../quantities.ts';
import { type CellFill, type CellScale, cellPaths, markPaths, workingRowsPath } from './cell-paths.ts';
import { layRows } from './lanes.ts';
import { stepsIn, type TimelineWindow, tokensIn } from './timeline-window.ts';

/** Where a panel stands and what it shares with the others. */
export interface PanelPlace {
  readonly top: number;
  readonly left: number;
  readonly width: number;
  readonly laneHeight: number;
  /** Lanes of every panel, so that they can be compared. */
  readonly lanes: number;
  readonly maxRows: number;
  readonly window: TimelineWindow;
  /** Tokens of full depth in the same time. */
  readonly fullDepthTokens: number | undefined;
}

/** What the script needs to say what the pointer is on. */
export interface PanelData {
  readonly label: string;
  readonly top: number;
  readonly laneHeight: number;
  readonly lanes: number;
  /** Start, duration and run in milliseconds, heads, rows: lane, request, depth, role, outcome. */
  readonly steps: readonly (readonly [
    number,
    number,
    number,
    number,
    readonly (readonly [number, number, number, string, string])[],
  ])[];
}

const headHeight = 24;
const stripHeight = 22;
const stripGap = 5;

/** Pixels that a panel takes from its top to its bottom. */
export function panelHeight(lanes: number, laneHeight: number): number {
  return headHeight + lanes * laneHeight + stripGap + stripHeight;
}

/** Lanes that a variant needs in the stretch. */
export function lanesOf(variant: BenchVariant, window: TimelineWindow): number {
  return layRows(stepsIn(variant.timeline?.steps ?? [], window)).lanes;
}

/** A variant's timeline: a row for each slot, a column for each step, and below how many rows were at work. */
export function timelinePanel(
  variant: BenchVariant,
  place: PanelPlace,
): { readonly svg: Markup; readonly data: PanelData } {
  const { top, left, width, laneHeight, lanes, maxRows, window } = place;
  const all = variant.timeline?.steps ?? [];
  const steps = stepsIn(all, window);
  const laid = layRows(steps);
  const x = (milliseconds: number) => left + (width * (milliseconds - window.from)) / (window.to - window.from);
  const cellsTop = top + headHeight;
  const scale: CellScale = { x, y: (lane) => cellsTop + lane * laneHeight, laneHeight };
  const marks = markPaths(steps, laid.steps, scale);
  const stripTop = cellsTop + lanes * laneHeight + stripGap;
  const stripBottom = stripTop + stripHeight;
  const svg = html`
<g>
  <text class="panel-title" x="${left}" y="${top + 15}">${variant.label}<tspan class="muted" dx="10">${finding(variant, steps, all, place)}</tspan></text>
  <rect class="lanes" x="${left}" y="${cellsTop}" width="${width}" height="${lanes * laneHeight}"/>
  <rect class="lanes" x="${left}" y="${stripTop}" width="${width}" height="${stripHeight}"/>
  <svg x="${left}" y="${top}" width="${width}" height="${stripBottom - top}" viewBox="${left} ${top} ${width} ${stripBottom - top}">
  ${cellPaths(steps, laid.steps, scale).map(({ fill, path }) => html`<path class="${classOf(fill)}" d="${path}"/>`)}
  <path class="working" d="${workingRowsPath(steps, x, stripBottom, stripHeight / maxRows)}"/>
  <path class="token-rim" d="${marks.tokens}"/><path class="token-mark" d="${marks.tokens}"/>
  <path class="end-mark" d="${marks.ends}"/>
  </svg>
  <text class="tick" x="${left - 8}" y="${cellsTop + 10}" text-anchor="end">slot 1</text>
  ${lanes > 1 && html`<text class="tick" x="${left - 8}" y="${coordinate(cellsTop + lanes * laneHeight - 3)}" text-anchor="end">${lanes}</text>`}
  <text class="tick" x="${left - 8}" y="${stripTop + 10}" text-anchor="end">rows at</text>
  <text class="tick" x="${left - 8}" y="${stripTop + 20}" text-anchor="end">work</text>
</g>`;
  return {
    svg,
    data: {
      label: variant.label,
      top: cellsTop,
      laneHeight,
      lanes,
      steps: steps.map(({ start, duration: took, run, heads }, i) => [
        rounded(start),
        rounded(took),
        rounded(run),
        heads,
        laid.steps[i]!.map(({ lane, row }) => [lane, ...row] as const),
      ]),
    },
  };
}

/** `105 tokens, 1.51 × full depth; 97 % of the rows at work` */
function finding(
  { timeline, kind }: BenchVariant,
  steps: readonly TimelineStep[],
  all: readonly TimelineStep[],
  { window, fullDepthTokens, maxRows }: PanelPlace,
): string {
  const last = all.at(-1);
  const ended = timeline?.whole === true && last !== undefined && last.start + last.duration <= window.to;
  const tokens = tokensIn(all, window);
  const working = workingShare(steps, maxRows);
  const more = fullDepthTokens === undefined || fullDepthTokens === 0 || kind === 'full-depth';
  const comparison = more || ended ? '' : `, ${times(tokens / fullDepthTokens)} full depth`;
  const end = ended ? `, done after ${duration(last.start + last.duration)}` : '';
  const share = working === undefined ? '' : `; ${percent(working)} of the rows at work`;
  return `${plural(tokens, 'token')}${comparison}${end}${share}`;
}

/** Rows at work over rows that there was room for, weighted by time, in steps that decode; undefined: none does. */
export function workingShare(steps: readonly TimelineStep[], maxRows: number): number | undefined {
  const decoding = steps.filter(({ rows }) => rows.some(([, , role]) => role !== 'prompt'));
  const time = decoding.reduce((sum, step) => sum + step.duration, 0);
  const working = ({ rows }: TimelineStep) => rows.filter(([, , role]) => role !== 'idle').length;
  if (time === 0) return undefined;
  return decoding.reduce((sum, step) => sum + step.duration * working(step), 0) / (time * maxRows);
}

function classOf(fill: CellFill): string {
  if (typeof fill === 'string') return fill;
  return fill.role === 'token' ? `depth-${fill.depth}` : `depth-${fill.depth} ${fill.role}`;
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

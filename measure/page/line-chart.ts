import { html, type Markup } from './markup.ts';
import { coordinate, ticks } from './quantities.ts';

/** A point, what it is called beside its place, and what a pointer that rests on it is told. */
export interface LinePoint {
  readonly x: number;
  readonly y: number;
  readonly text?: string;
  readonly title: string;
}

export interface Line {
  readonly name: string;
  readonly points: readonly LinePoint[];
}

export interface LineChartOptions {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly xTitle: string;
  readonly yTitle: string;
  readonly formatX: (value: number) => string;
  readonly formatY: (value: number) => string;
  /** Both axes start at 0. */
  readonly fromZero?: boolean;
  /** Texts of points stand below them. */
  readonly textBelow?: boolean;
  /** A level to compare with. */
  readonly level?: { readonly y: number; readonly text: string };
}

const width = 520;
const height = 300;
const left = 58;
const right = 26;
const top = 30;
const bottom = height - 46;

/** Points that are joined by lines. Lines are told apart by colour, by the form of their points, and by a legend. */
export function lineChart(options: LineChartOptions): Markup {
  const { title, lines, xTitle, yTitle, formatX, formatY, fromZero = false, level, textBelow = false } = options;
  const points = lines.flatMap((line) => line.points);
  const xs = rangeOf(
    points.map((point) => point.x),
    fromZero,
  );
  const ys = rangeOf([...points.map((point) => point.y), ...(level === undefined ? [] : [level.y])], fromZero);
  const x = (value: number) => coordinate(left + ((width - left - right) * (value - xs[0])) / (xs[1] - xs[0]));
  const y = (value: number) => coordinate(bottom - ((bottom - top) * (value - ys[0])) / (ys[1] - ys[0]));
  const texts = lines.map((line) => shownTexts(line, (point) => Number(x(point.x))));
  return html`
<figure>
  ${
    lines.length > 1 &&
    html`<ul class="legend">${lines.map(
      ({ name }, i) =>
        html`<li><svg width="22" height="12" aria-hidden="true"><path class="line line-${i % 5}" d="M0 6H22"/>${marker(i, '11', '6')}</svg>${name}</li>`,
    )}</ul>`
  }
  <svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
    ${ticks(ys[0], ys[1], 5).map(
      (at) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${y(at)}" y2="${y(at)}"/>
    <text class="tick" x="${left - 7}" y="${Number(y(at)) + 4}" text-anchor="end">${formatY(at)}</text>`,
    )}
    ${ticks(xs[0], xs[1], 6).map(
      (at) => html`<line class="axis" x1="${x(at)}" x2="${x(at)}" y1="${bottom}" y2="${bottom + 5}"/>
    <text class="tick" x="${x(at)}" y="${bottom + 18}" text-anchor="middle">${formatX(at)}</text>`,
    )}
    <line class="axis" x1="${left}" x2="${width - right}" y1="${bottom}" y2="${bottom}"/>
    <text class="tick" x="${width - right}" y="${bottom + 36}" text-anchor="end">${xTitle}</text>
    <text class="tick" x="${left - 50}" y="14">${yTitle}</text>
    ${
      level !== undefined &&
      html`<line class="mark dashed" x1="${left}" x2="${width - right}" y1="${y(level.y)}" y2="${y(level.y)}"/>
    <text class="mark-text" x="${left + 6}" y="${Number(y(level.y)) + 13}">${level.text}</text>`
    }
    ${lines.map(
      (line, i) => html`
    <path class="line line-${i % 5}" d="${line.points.map((point, p) => `${p === 0 ? 'M' : 'L'}${x(point.x)} ${y(point.y)}`).join('')}"/>
    ${line.points.map(
      (point) => html`<g><title>${point.title}</title>${marker(i, x(point.x), y(point.y))}
      ${texts[i]!.has(point) && html`<text class="point-text" x="${x(point.x)}" y="${Number(y(point.y)) + (textBelow ? 18 : -9)}" text-anchor="middle">${point.text}</text>`}</g>`,
    )}`,
    )}
  </svg>
</figure>`;
}

/** Points whose texts do not run into the one before; of a crowd the last one, which is the end of the line. */
function shownTexts({ points }: Line, x: (point: LinePoint) => number): ReadonlySet<LinePoint> {
  const shown = new Set<LinePoint>();
  let taken = Number.POSITIVE_INFINITY;
  for (const point of points.toReversed()) {
    if (point.text === undefined || taken - x(point) < 28) continue;
    shown.add(point);
    taken = x(point);
  }
  return shown;
}

/** Another form for each line, for those who cannot tell the colours. */
function marker(line: number, x: string, y: string): Markup {
  const [cx, cy] = [Number(x), Number(y)];
  const kind = `marker line-${line % 5}`;
  switch (line % 4) {
    case 1:
      return html`<rect class="${kind}" x="${cx - 3.5}" y="${cy - 3.5}" width="7" height="7"/>`;
    case 2:
      return html`<path class="${kind}" d="M${cx} ${cy - 5}l5 8.5h-10z"/>`;
    case 3:
      return html`<path class="${kind}" d="M${cx} ${cy - 5}l5 5l-5 5l-5-5z"/>`;
    default:
      return html`<circle class="${kind}" cx="${cx}" cy="${cy}" r="4"/>`;
  }
}

/** A little more than the values take; never empty. */
function rangeOf(values: readonly number[], fromZero: boolean): readonly [number, number] {
  const least = fromZero ? 0 : Math.min(...values);
  const most = Math.max(...values);
  const span = most - least || Math.abs(most) || 1;
  return [fromZero ? 0 : least - span * 0.09, most + span * 0.08];
}

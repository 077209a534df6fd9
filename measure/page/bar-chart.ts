import { html, type Markup } from './markup.ts';
import { coordinate, ticks } from './quantities.ts';

/** A part of a bar. */
export interface BarPart {
  /** Class of the style sheet that colours it. */
  readonly kind: string;
  readonly value: number;
  /** What a pointer that rests on it is told. */
  readonly title: string;
  /** Drawn inside when there is room. */
  readonly text?: string;
}

/** A bar of one part or several, one behind the other. */
export interface Bar {
  readonly label: string;
  readonly strong?: boolean;
  readonly parts: readonly BarPart[];
  /** Written behind it, and behind that something less important. */
  readonly text: string;
  readonly aside?: string;
  /** From the least to the largest that was measured. */
  readonly spread?: { readonly low: number; readonly high: number };
  /** Starts here instead of at 0: for what is taken away step by step. */
  readonly from?: number;
}

/** A line across all bars, such as a bound. */
export interface BarMark {
  readonly value: number;
  readonly text: string;
  readonly dashed?: boolean;
}

export interface BarChartOptions {
  readonly title: string;
  readonly bars: readonly Bar[];
  readonly marks?: readonly BarMark[];
  readonly unit: string;
  readonly format: (value: number) => string;
  readonly width?: number;
  /** Where the axis starts; by default at 0. */
  readonly origin?: number;
}

const barHeight = 20;
const barGap = 9;
const markHeight = 15;
/** Pixels that a character of a label takes, about. */
const characterWidth = 6.3;

/** Horizontal bars above an axis. */
export function barChart(options: BarChartOptions): Markup {
  const { title, bars, marks = [], unit, format, width = 1000, origin = 0 } = options;
  const ends = bars.map(({ parts, from = origin }) => from + parts.reduce((sum, { value }) => sum + value, 0));
  const largest = Math.max(
    Number.MIN_VALUE,
    ...ends,
    ...bars.map(({ spread }) => spread?.high ?? 0),
    ...marks.map(({ value }) => value),
  );
  const longest = (texts: readonly string[]) => characterWidth * Math.max(...texts.map((text) => text.length));
  const labelWidth = 18 + longest(bars.map(({ label }) => label));
  const textWidth = 30 + longest(bars.map(({ text, aside = '' }) => text + aside));
  const inner = width - labelWidth - textWidth;
  const x = (value: number) => labelWidth + (inner * (value - origin)) / (largest - origin || 1);
  const top = marks.length * markHeight + (marks.length > 0 ? 6 : 2);
  const bottom = top + bars.length * (barHeight + barGap);
  return html`
<div class="wide"><svg viewBox="0 0 ${width} ${bottom + 36}" role="img" aria-label="${title}">
  ${ticks(origin, largest, Math.max(2, Math.floor(inner / 110))).map(
    (at) => html`<line class="grid" x1="${coordinate(x(at))}" x2="${coordinate(x(at))}" y1="${top - 4}" y2="${bottom}"/>
  <text class="tick" x="${coordinate(x(at))}" y="${bottom + 15}" text-anchor="middle">${format(at)}</text>`,
  )}
  <text class="tick" x="${coordinate(labelWidth + inner)}" y="${bottom + 31}" text-anchor="end">${unit}</text>
  ${bars.map((bar, i) => barParts(bar, top + i * (barHeight + barGap), x, origin))}
  ${marks.map(
    ({ value, text, dashed }, i) => html`
  <line class="mark${dashed === true && ' dashed'}" x1="${coordinate(x(value))}" x2="${coordinate(x(value))}" y1="${(i + 1) * markHeight - 3}" y2="${bottom}"/>
  <text class="mark-text" x="${coordinate(x(value) - 4)}" y="${(i + 1) * markHeight - 3}" text-anchor="end">${text}</text>`,
  )}
  ${bars.map((bar, i) => barTexts(bar, ends[i]!, top + i * (barHeight + barGap), x, labelWidth))}
</svg></div>`;
}

function barParts({ parts, from }: Bar, y: number, x: (value: number) => number, origin: number): readonly Markup[] {
  let start = from ?? origin;
  return parts.map(({ kind, value, title, text }) => {
    const [left, right] = [x(start), x(start + value)];
    start += value;
    const fits = text !== undefined && text.length * characterWidth + 8 < right - left;
    return html`<rect class="${kind}" x="${coordinate(left)}" y="${y}" width="${coordinate(Math.max(0, right - left))}" height="${barHeight}"><title>${title}</title></rect>
  ${fits && html`<text class="inside" x="${coordinate((left + right) / 2)}" y="${y + barHeight / 2 + 4}" text-anchor="middle">${text}</text>`}`;
  });
}

/** What must not be hidden by a line that crosses the bars. */
function barTexts(
  { label, strong, text, aside, spread }: Bar,
  end: number,
  y: number,
  x: (value: number) => number,
  labelWidth: number,
): Markup {
  const middle = y + barHeight / 2;
  const behind = x(Math.max(end, spread?.high ?? 0)) + 8;
  return html`
  <text class="bar-label${strong === true && ' strong'}" x="${labelWidth - 10}" y="${middle + 4}" text-anchor="end">${label}</text>
  ${
    spread !== undefined &&
    html`<path class="whisker" d="M${coordinate(x(spread.low))} ${middle}H${coordinate(x(spread.high))}M${coordinate(x(spread.low))} ${middle - 4}v8M${coordinate(x(spread.high))} ${middle - 4}v8"/>`
  }
  <text class="bar-text${strong === true && ' strong'}" x="${coordinate(behind)}" y="${middle + 4}">${text}${aside !== undefined && html`<tspan class="muted" dx="8">${aside}</tspan>`}</text>`;
}

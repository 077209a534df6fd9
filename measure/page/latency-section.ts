import type { BenchRun, BenchVariant } from '../bench-document.ts';
import { html, type Markup } from './markup.ts';
import { coordinate, duration, tickDuration, ticks, times } from './quantities.ts';
import { variantOf } from './variants.ts';

type Measure = 'timeToFirstToken' | 'latency' | 'timePerToken';

const measures: readonly (readonly [Measure, string])[] = [
  ['timeToFirstToken', 'to the first token'],
  ['latency', 'to the last token'],
  ['timePerToken', 'between two tokens'],
];

const width = 1000;
const gap = 26;
const rowHeight = 22;

/** How long requests wait: median, 90 and 99 of 100, side by side for each measure. */
export function latencySection(run: BenchRun): Markup | undefined {
  const shown = measures.filter(([key]) => run.variants.some((variant) => variant[key] !== undefined));
  if (shown.length === 0) return undefined;
  const variants = run.variants.filter((variant) => shown.some(([key]) => variant[key] !== undefined));
  const labelWidth = 18 + 6.3 * Math.max(...variants.map(({ label }) => label.length));
  const column = (width - labelWidth - gap * shown.length) / shown.length;
  const bottom = 24 + variants.length * rowHeight;
  const title = titleOf(run);
  const { arrivals } = run.workload;
  return html`
<section>
  <h3>${title}</h3>
  <p>${
    arrivals.kind === 'at-once'
      ? 'All requests arrive at once, so most of these times are spent in the queue.'
      : `Requests arrive at random, ${arrivals.perSecond} a second on average.`
  } Dot: median; bar: to 90 of 100 requests; line: to 99 of 100.</p>
  <div class="wide"><svg viewBox="0 0 ${width} ${bottom + 24}" role="img" aria-label="${title}">
    ${variants.map(
      ({ label, kind }, i) =>
        html`<text class="bar-label${kind === 'depth-wise' && ' strong'}" x="${labelWidth - 10}" y="${24 + i * rowHeight + 14}" text-anchor="end">${label}</text>`,
    )}
    ${shown.map(([key, name], m) => measureColumn(variants, key, name, labelWidth + m * (column + gap), column - 50, bottom))}
  </svg></div>
</section>`;
}

function measureColumn(
  variants: readonly BenchVariant[],
  key: Measure,
  name: string,
  left: number,
  wide: number,
  bottom: number,
): Markup {
  const largest = Math.max(Number.MIN_VALUE, ...variants.map((variant) => variant[key]?.p99 ?? 0));
  const x = (milliseconds: number) => coordinate(left + (wide * milliseconds) / largest);
  return html`
    <text class="column-title" x="${left}" y="12">${name}</text>
    ${ticks(0, largest, 3).map(
      (at) => html`<line class="grid" x1="${x(at)}" x2="${x(at)}" y1="20" y2="${bottom}"/>
    <text class="tick" x="${x(at)}" y="${bottom + 15}" text-anchor="middle">${tickDuration(at)}</text>`,
    )}
    ${variants.map((variant, i) => {
      const measured = variant[key];
      if (measured === undefined) return false;
      const y = 24 + i * rowHeight + 10;
      const strong = variant.kind === 'depth-wise';
      const told = `${variant.label}, ${name}: median ${duration(measured.p50)}, 90 of 100 ${duration(measured.p90)}, 99 of 100 ${duration(measured.p99)}, longest ${duration(measured.max)}`;
      return html`<g><title>${told}</title>
      <path class="whisker" d="M${x(measured.p50)} ${y}H${x(measured.p99)}"/>
      <rect class="${strong ? 'best' : 'other'}" x="${x(measured.p50)}" y="${y - 5}" width="${coordinate(Number(x(measured.p90)) - Number(x(measured.p50)))}" height="10"/>
      <circle class="dot${strong && ' strong'}" cx="${x(measured.p50)}" cy="${y}" r="4.5"/>
      <text class="bar-text${strong && ' strong'}" x="${coordinate(Number(x(measured.p99)) + 7)}" y="${y + 4}">${duration(measured.p50)}</text></g>`;
    })}`;
}

function titleOf(run: BenchRun): string {
  const a = variantOf(run, 'depth-wise')?.latency?.p50;
  const b = variantOf(run, 'full-depth')?.latency?.p50;
  if (a === undefined || b === undefined) return 'How long requests wait';
  if (a <= b)
    return `Half of the requests have their last token after ${duration(a)}, ${times(b / a)} sooner than at full depth`;
  return `Half of the requests have their last token after ${duration(a)}; at full depth after ${duration(b)}`;
}

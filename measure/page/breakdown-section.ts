import type { BenchRun, BenchVariant } from '../bench-document.ts';
import { type BarPart, barChart } from './bar-chart.ts';
import { html, type Markup } from './markup.ts';
import { duration, percent, tickText } from './quantities.ts';
import { variantOf } from './variants.ts';

type Breakdown = NonNullable<BenchVariant['breakdown']>;

const parts: readonly (readonly [keyof Breakdown, string])[] = [
  ['block', 'block'],
  ['attention', 'attention'],
  ['padding', 'rows that wait, padding'],
  ['prompt', 'prompts'],
  ['head', 'heads'],
  ['cache', 'missing keys and values'],
  ['host', 'host'],
  ['wait', 'nothing to do'],
];

/** Where the time of a token goes, for every variant that says so. */
export function breakdownSection(run: BenchRun): Markup | undefined {
  const shown = run.variants.filter(({ breakdown, tokens }) => breakdown !== undefined && tokens > 0);
  if (shown.length === 0) return undefined;
  const title = titleOf(run);
  const bars = shown.map(({ label, kind, breakdown, tokens }) => {
    const all = parts.reduce((sum, [key]) => sum + (breakdown![key] ?? 0), 0);
    return {
      label,
      strong: kind === 'depth-wise',
      text: duration(all / tokens),
      parts: parts
        .filter(([key]) => (breakdown![key] ?? 0) > 0)
        .map(([key, name]): BarPart => {
          const value = breakdown![key]! / tokens;
          const share = percent(breakdown![key]! / all);
          return { kind: `part-${key}`, value, title: `${name}: ${duration(value)} a token, ${share}`, text: share };
        }),
    };
  });
  const present = parts.filter(([key]) => shown.some(({ breakdown }) => (breakdown![key] ?? 0) > 0));
  return html`
<section>
  <h3>${title}</h3>
  <p>Time of the whole workload, divided by its tokens: shorter is faster.</p>
  <ul class="legend">${present.map(
    ([key, name]) =>
      html`<li><svg width="12" height="12" aria-hidden="true"><rect class="part-${key}" width="12" height="12" rx="1"/></svg>${name}</li>`,
  )}</ul>
  ${barChart({ title, bars, unit: 'milliseconds a token', format: tickText })}
</section>`;
}

function titleOf(run: BenchRun): string {
  const depthWise = variantOf(run, 'depth-wise')?.breakdown;
  if (depthWise === undefined) return 'Where the time goes';
  const all = parts.reduce((sum, [key]) => sum + (depthWise[key] ?? 0), 0);
  const block = depthWise.block + (depthWise.attention ?? 0);
  return `Depth-wise, ${percent(block / all)} of the time runs the block, ${percent((depthWise.head ?? 0) / all)} heads, ${percent(depthWise.host / all)} the host`;
}

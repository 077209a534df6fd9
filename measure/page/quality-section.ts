import type { BenchDocument } from '../bench-document.ts';
import { type Line, lineChart } from './line-chart.ts';
import { html, type Markup } from './markup.ts';
import { percent, quantity, tickText } from './quantities.ts';

type Quality = NonNullable<BenchDocument['quality']>;
type QualityRow = Quality['rows'][number];

/** Perplexity that may be lost for a threshold to be recommended, relative. */
const small = 0.01;

/** Policies that are so much worse than full depth at any threshold would make the others one flat line. */
const offChart = 1.5;

/** Name of the line of tokens that all leave behind the same loop. */
const fixedLoop = 'fixed loop';

/** What leaving early costs in accuracy, against what it saves; nothing without a measurement. */
export function qualitySection({ quality }: BenchDocument): Markup | undefined {
  if (quality === undefined) return undefined;
  const { rows } = quality;
  const policies = [...new Set(rows.map(({ kvPolicy }) => kvPolicy))];
  const full = fullDepth(rows);
  // Full depth is measured once for all policies but `shared`, where it is another model.
  const own = (policy: string) => {
    const points = rows.filter(({ kvPolicy, loop }) => kvPolicy === policy && loop === undefined);
    return full === undefined || fullDepth(points) !== undefined ? points : [...points, full];
  };
  // Where all tokens leave behind the same loop, nobody reads what they skipped: one line for all other policies.
  const fixed = rows.filter(({ kvPolicy, loop }) => loop !== undefined && kvPolicy !== 'shared');
  const best = (policy: string) => Math.min(...own(policy).map(({ perplexity }) => perplexity));
  const drawn = policies.filter((policy) => full === undefined || best(policy) <= offChart * full.perplexity);
  const left = policies.filter((policy) => !drawn.includes(policy));
  // In this order a line has the same colour in both pictures.
  const first = fixed.length === 0 ? drawn : [...drawn, fixedLoop];
  const lines = (shown: readonly string[], of: (row: QualityRow) => number, show: (value: number) => string) => {
    const line = (name: string, points: readonly QualityRow[]): Line => ({
      name,
      points: points
        .toSorted((a, b) => a.meanExit - b.meanExit)
        .map((row) => ({
          x: row.meanExit,
          y: of(row),
          // Thresholds of other policies lie nearly on top of the first one's.
          ...(name === policies[0] ? { text: String(row.threshold) } : {}),
          title: `${row.kvPolicy}, ${ruleOf(row)}: ${row.meanExit.toFixed(2)} loops, ${show(of(row))}`,
        })),
    });
    return shown.map((name) => line(name, name === fixedLoop ? [...(full ? [full] : []), ...fixed] : own(name)));
  };
  const title = titleOf(rows, full);
  return html`
<section>
  <h2>Accuracy against threshold</h2>
  <h3>${title}</h3>
  <p>${quality.tokens.toLocaleString('en-US')} tokens of ${quality.text}. Numbers at the points are thresholds.${left.map((policy) => ` Perplexity with ${policy} is ${quantity(best(policy))} at best: off the chart.`)}</p>
  <div class="columns">
    ${lineChart({
      title: 'Perplexity by mean loops',
      lines: lines(first, ({ perplexity }) => perplexity, quantity),
      xTitle: 'mean loops of a token',
      yTitle: 'perplexity, lower is better',
      formatX: tickText,
      formatY: tickText,
      ...(full === undefined ? {} : { level: { y: full.perplexity, text: 'full depth' } }),
    })}
    ${lineChart({
      title: 'Agreement with full depth by mean loops',
      lines: lines([...first, ...left], ({ agreement }) => agreement, percent),
      xTitle: 'mean loops of a token',
      yTitle: 'same likeliest token as at full depth',
      formatX: tickText,
      formatY: percent,
      textBelow: true,
    })}
  </div>
  <details><summary>Numbers</summary><div class="wide"><table>
    <tr><th scope="col">KV policy</th><th scope="col">rule</th><th scope="col">mean loops</th><th scope="col">perplexity</th><th scope="col">agreement</th><th scope="col">tokens/s</th></tr>
    ${rows.map(
      (row) => html`
    <tr><th scope="row">${row.kvPolicy}</th><td>${ruleOf(row)}</td><td>${row.meanExit.toFixed(2)}</td><td>${row.perplexity.toPrecision(4)}</td><td>${percent(row.agreement)}</td><td>${row.tokensPerSecond === undefined ? '' : quantity(row.tokensPerSecond)}</td></tr>`,
    )}
  </table></div></details>
</section>`;
}

function fullDepth(rows: readonly QualityRow[]): QualityRow | undefined {
  return rows.find(({ threshold }) => threshold !== undefined && threshold >= 1);
}

function ruleOf({ threshold, loop }: QualityRow): string {
  return threshold === undefined ? `loop ${loop}` : `threshold ${threshold}`;
}

function titleOf(rows: readonly QualityRow[], full: QualityRow | undefined): string {
  if (full === undefined) return 'What leaving early costs';
  const good = rows
    .filter(({ perplexity, meanExit }) => perplexity <= full.perplexity * (1 + small) && meanExit < full.meanExit)
    .sort((a, b) => a.meanExit - b.meanExit)[0];
  if (good === undefined) {
    const cheapest = rows.toSorted((a, b) => a.meanExit - b.meanExit)[0]!;
    const price = percent(cheapest.perplexity / full.perplexity - 1);
    return `Down to ${cheapest.meanExit.toFixed(2)} loops a token, for ${price} more perplexity`;
  }
  const saved = percent(1 - good.meanExit / full.meanExit);
  const rule = ruleOf(good);
  return `${rule[0]!.toUpperCase()}${rule.slice(1)} with ${good.kvPolicy} saves ${saved} of the loops; perplexity ${full.perplexity.toPrecision(4)} becomes ${good.perplexity.toPrecision(4)}`;
}

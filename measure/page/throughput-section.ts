import type { BenchRun, BenchVariant } from '../bench-document.ts';
import { type BarMark, barChart } from './bar-chart.ts';
import { html, type Markup } from './markup.ts';
import { percent, quantity, tickText, times } from './quantities.ts';
import { gainOf, hasSteadyRates, overFullDepth, rateOf, variantOf } from './variants.ts';

/** Tokens per second of every variant, with the bound that the exits set. */
export function throughputSection(run: BenchRun): Markup {
  const steady = hasSteadyRates(run);
  const full = variantOf(run, 'full-depth');
  const { bounds } = run;
  const fullRate = full && rateOf(full, steady).median;
  const marks: readonly BarMark[] =
    bounds === undefined || fullRate === undefined
      ? []
      : [
          {
            value: fullRate * bounds.gain,
            text: `these exits, if heads cost nothing: ${times(bounds.gain)}`,
            dashed: true,
          },
          { value: fullRate * bounds.gainWithHeads, text: `bound with heads counted: ${times(bounds.gainWithHeads)}` },
        ];
  const bars = run.variants.map((variant) => {
    const { median, low, high } = rateOf(variant, steady);
    const strong = variant.kind === 'depth-wise';
    const gain = overFullDepth(run, variant);
    return {
      label: variant.label,
      strong,
      parts: [
        { kind: strong ? 'best' : 'other', value: median, title: `${variant.label}: ${spreadText(variant, steady)}` },
      ],
      text: quantity(median),
      ...(gain === undefined ? {} : { aside: times(gain) }),
      spread: { low, high },
    };
  });
  const title = titleOf(run);
  return html`
<section>
  <h3>${title}</h3>
  <p>${
    steady
      ? 'While sequences wait for a slot, prompts not counted. Lines across the ends of bars reach from the slowest to the fastest round.'
      : 'New tokens over time, prompts included. Lines across the ends of bars reach from the slowest to the fastest round.'
  } ${run.workload.rounds > 1 && `Variants took turns, ${run.workload.rounds} rounds.`}</p>
  ${barChart({ title, bars, marks, unit: 'tokens per second', format: tickText })}
  ${table(run, steady)}
</section>`;
}

function titleOf(run: BenchRun): string {
  const overFull = gainOf(run, 'depth-wise', 'full-depth');
  const overShrink = gainOf(run, 'depth-wise', 'sequence-wise-shrink');
  if (overFull === undefined) return 'Tokens per second';
  const against =
    overShrink === undefined ? '' : `, ${times(overShrink)} sequence-wise batching that drops rows that left`;
  return `Depth-wise batching: ${times(overFull)} full depth${against}`;
}

function spreadText(variant: BenchVariant, steady: boolean): string {
  const { median, low, high, samples } = rateOf(variant, steady);
  return `${quantity(median)} tokens/s, median of ${samples.length} (${quantity(low)} to ${quantity(high)})`;
}

/** The numbers, for whoever wants to read them. */
function table(run: BenchRun, steady: boolean): Markup {
  return html`
  <details><summary>Numbers</summary><div class="wide"><table>
    <tr><th scope="col"></th>${steady && html`<th scope="col">tokens/s, slots full</th>`}<th scope="col">tokens/s, whole workload</th>
      <th scope="col">slowest to fastest</th><th scope="col">mean exit</th><th scope="col">rows a step</th><th scope="col">occupied</th><th scope="col">tokens</th><th scope="col">steps</th><th scope="col">host</th></tr>
    ${run.variants.map((variant) => {
      const { low, high } = rateOf(variant, steady);
      const host = variant.steady?.hostShare;
      return html`
    <tr><th scope="row">${variant.label}${!variant.whole && ' (part of the workload)'}</th>${steady && html`<td>${variant.steady === undefined ? '' : quantity(variant.steady.tokensPerSecond.median)}</td>`}
      <td>${quantity(variant.tokensPerSecond.median)}</td><td>${quantity(low)} to ${quantity(high)}</td><td>${variant.meanExit.toFixed(2)}</td>
      <td>${(variant.steady?.rowsPerStep ?? variant.rowsPerStep).toFixed(1)}</td><td>${percent(variant.occupancy)}</td><td>${variant.tokens.toLocaleString('en-US')}</td><td>${variant.steps.toLocaleString('en-US')}</td><td>${host === undefined ? '' : percent(host)}</td></tr>`;
    })}
  </table></div></details>`;
}

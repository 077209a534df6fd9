import { lineChart } from '../../../../measure/page/line-chart.ts';
import { html, type Markup } from '../../../../measure/page/markup.ts';
import { percent, quantity, tickText } from '../../../../measure/page/quantities.ts';
import type { ConvertDocument } from '../convert-document.ts';
import { parameterText } from '../parameter-text.ts';

/** How well a text is known, by size; nothing without an evaluation. */
export function evaluationSection({ evaluation, parameters }: ConvertDocument): Markup | undefined {
  if (evaluation === null) return undefined;
  const { original, converted, text, windows, window } = evaluation;
  const share = (count: number) => count / parameters.originalLayers;
  const models = [
    ...evaluation.ranks.map((each) => ({ ...each, name: each.rank === 0 ? 'no factors' : `rank ${each.rank}` })),
    { ...converted, name: 'converted', convertedLayers: parameters.convertedLayers },
  ]
    // The converted model itself may be among the ranks.
    .filter((each, i, all) => i === all.length - 1 || each.convertedLayers !== parameters.convertedLayers)
    .sort((a, b) => a.convertedLayers - b.convertedLayers);
  const title = `Perplexity ${quantity(original.perplexity)} becomes ${quantity(converted.perplexity)}`;
  const row = (name: string, size: number, score: typeof original, own: boolean) => html`
    <tr class="${own && 'own'}"><th scope="row">${name}</th><td>${parameterText(size)}</td><td>${score.nll.toFixed(4)}</td><td>${quantity(score.perplexity)}</td><td>${score === original ? '' : `+${(score.nll - original.nll).toFixed(4)}`}</td></tr>`;
  return html`
<section>
  <h2>What it knows of a text</h2>
  <h3>${title}</h3>
  <p>${text}: ${windows} windows of ${window} tokens, ${original.tokens.toLocaleString('en-US')} of which are predicted. Nothing was trained since; lower ranks are the same factors, cut.</p>
  <div class="columns">
  ${
    models.length > 1 &&
    lineChart({
      title: 'Nats a token by size',
      lines: [
        {
          name: 'converted',
          points: models.map(({ name, convertedLayers, nll, perplexity }) => ({
            x: share(convertedLayers),
            y: nll,
            text: name,
            title: `${name}: ${percent(share(convertedLayers))} of the parameters, ${nll.toFixed(4)} nats, perplexity ${quantity(perplexity)}`,
          })),
        },
      ],
      xTitle: 'parameters of the original’s layers',
      yTitle: 'nats a token, lower is better',
      formatX: percent,
      formatY: tickText,
      // The first point is the highest, where the axis has its title.
      textBelow: true,
      level: { y: original.nll, text: 'original' },
    })
  }
  <div class="wide"><table>
    <tr><th scope="col">model</th><th scope="col">parameters</th><th scope="col">nats a token</th><th scope="col">perplexity</th><th scope="col">more nats</th></tr>
    ${row('original', parameters.originalLayers, original, false)}
    ${models.map((each) => row(each.name, each.convertedLayers, each, each.name === 'converted'))}
  </table></div>
  </div>
</section>`;
}

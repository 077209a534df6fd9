import { html, type Markup, raw } from '../../../../measure/page/markup.ts';
import { pageStyle } from '../../../../measure/page/page-style.ts';
import { percent, quantity } from '../../../../measure/page/quantities.ts';
import type { ConvertDocument } from '../convert-document.ts';
import { describeSharing } from '../describe-sharing.ts';
import { evaluationSection } from './evaluation-section.ts';
import { factsSection } from './facts-section.ts';
import { heatSteps } from './heat-map.ts';
import { lossesSection } from './losses-section.ts';
import { ranksSection } from './ranks-section.ts';
import { sizesSection } from './sizes-section.ts';
import { spectraSection } from './spectra-section.ts';

/**
 * What `rtc convert` made, as one page of HTML that needs nothing else: no network, no other file, no script. The same
 * document gives the same page.
 */
export function convertPage(document: ConvertDocument): string {
  const { model, rtc } = document;
  const title = titleOf(document);
  return `<!doctype html>\n${
    html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="rtc ${rtc}">
<title>${model.name}: ${title}</title>
<style>${raw(`${pageStyle(heatSteps)}\n${sheet}`)}</style>
</head>
<body>
<header>
  <p class="kicker">rtc convert · ${model.name} · ${describeSharing(document)}</p>
  <h1>${title}</h1>
  ${tiles(document)}
</header>
<main>
${sizesSection(document)}
${evaluationSection(document)}
${ranksSection(document)}
${lossesSection(document)}
${spectraSection(document)}
${factsSection(document)}
</main>
<footer>Written by rtc ${rtc} from the document that rtc convert --json prints.</footer>
</body>
</html>`.markup
  }\n`;
}

const sheet = `.on-light{fill:#14171b;font-size:10.5px;pointer-events:none}.on-dark{fill:#fff;font-size:10.5px;pointer-events:none}
.cell{stroke:var(--page);stroke-width:1.5}.none{fill:var(--faint)}
.spectrum{fill:none;stroke:var(--muted);stroke-width:1.2}.kept{fill:var(--best);opacity:.55}.panel{fill:var(--faint)}
.cell-text{font-size:10.5px;fill:var(--muted);paint-order:stroke;stroke:var(--faint);stroke-width:4px;stroke-linejoin:round}.own th,.own td{font-weight:600}`;

function titleOf({ parameters, evaluation, relativeLoss }: ConvertDocument): string {
  const size = `${percent(parameters.convertedLayers / parameters.originalLayers)} of the layers’ parameters`;
  if (evaluation === null) return `${size}; ${percent(relativeLoss)} of the matrices’ norm is lost`;
  const { original, converted } = evaluation;
  return `${size}; perplexity ${quantity(original.perplexity)} becomes ${quantity(converted.perplexity)}`;
}

function tiles(document: ConvertDocument): Markup {
  const { parameters, relativeLoss, modules, evaluation, lora, matrices } = document;
  const squared = (of: 'shared' | 'lost') => matrices.reduce((sum, matrix) => sum + (matrix.norm * matrix[of]) ** 2, 0);
  const ranks = modules.flatMap((each) => [each.ranks.least, each.ranks.most]);
  const [least, most] = [Math.min(...ranks), Math.max(...ranks)];
  const tile = (value: string, text: string) => html`<li><strong>${value}</strong><span>${text}</span></li>`;
  return html`
  <ul class="tiles">
    ${tile(percent(parameters.convertedLayers / parameters.originalLayers), 'of the layers’ parameters')}
    ${tile(percent(parameters.storedLayers / parameters.originalLayers), 'in the shared layers, the rest in factors')}
    ${lora !== null && tile(least === most ? String(most) : `${least} to ${most}`, 'rank of the factors')}
    ${tile(percent(relativeLoss), 'of the matrices’ norm is lost')}
    ${lora !== null && squared('shared') > 0 && tile(percent(1 - squared('lost') / squared('shared')), 'of what sharing lost, squared, is brought back')}
    ${evaluation !== null && tile(`+${(evaluation.converted.nll - evaluation.original.nll).toFixed(3)}`, 'nats a token, before any training')}
  </ul>`;
}

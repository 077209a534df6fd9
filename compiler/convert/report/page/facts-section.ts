import { html, type Markup } from '../../../../measure/page/markup.ts';
import { percent, plural } from '../../../../measure/page/quantities.ts';
import { formatBytes } from '../../../inspect/format-bytes.ts';
import type { ConvertDocument } from '../convert-document.ts';
import { describeSharing, originsText } from '../describe-sharing.ts';

/** How it was made, and every matrix in numbers. */
export function factsSection(document: ConvertDocument): Markup {
  const { model, sharing, lora, files, matrices, rtc } = document;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const types = [...new Set(matrices.map(({ dtype }) => dtype))].join(', ');
  const facts: readonly (readonly [string, string])[] = [
    [
      'model',
      `${model.name}: ${model.type}, ${model.layers} layers, hidden ${model.hidden}, vocabulary ${model.vocabulary.toLocaleString('en-US')}`,
    ],
    ['sharing', `${sharing.order}: ${describeSharing(document)}`],
    ['initialisation', originsText(document)],
    ['factors', lora === null ? 'none' : askedText(lora)],
    ['written', `${formatBytes(bytes)} in ${plural(files.length, 'file')}, matrices in ${types}`],
    ['rtc', rtc],
  ];
  return html`
<section>
  <h2>How it was made</h2>
  <dl>${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
  <details><summary>Every matrix</summary><div class="wide"><table>
    <tr><th scope="col">layer and module</th><th scope="col">stored</th><th scope="col">depth</th><th scope="col">size</th><th scope="col">norm</th><th scope="col">rank</th><th scope="col">lost by sharing</th><th scope="col">lost still</th><th scope="col">brought back</th></tr>
    ${matrices.map(
      ({ layer, module, stored, depth, rows, cols, norm, rank, shared, lost, kept }) => html`
    <tr><th scope="row">${layer} ${module}</th><td>${stored}</td><td>${depth ?? ''}</td><td>${rows} × ${cols}</td><td>${norm.toPrecision(4)}</td><td>${rank}</td><td>${percent(shared)}</td><td>${percent(lost)}</td><td>${kept === null ? '' : percent(kept)}</td></tr>`,
    )}
  </table></div></details>
</section>`;
}

function askedText({ asked, init, calibration }: NonNullable<ConvertDocument['lora']>): string {
  const ranks =
    'parameters' in asked
      ? `ranks found for ${percent(asked.parameters)} of the original’s parameters`
      : typeof asked.rank === 'number'
        ? `rank ${asked.rank}`
        : `ranks ${Object.entries(asked.rank)
            .map(([selector, rank]) => `${selector} ${rank}`)
            .join(', ')}`;
  const from =
    init === 'zero'
      ? 'changing nothing yet'
      : calibration === null
        ? 'the best for the matrices'
        : `the best for activations on ${calibration}`;
  return `${ranks}, ${from}`;
}

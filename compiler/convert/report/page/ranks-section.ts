import { html, type Markup } from '../../../../measure/page/markup.ts';
import { percent } from '../../../../measure/page/quantities.ts';
import type { ConvertDocument } from '../convert-document.ts';
import { parameterText } from '../parameter-text.ts';
import { heatMap } from './heat-map.ts';

/** Which matrices got which rank, and what is lost of each. */
export function ranksSection({ matrices, modules, lora }: ConvertDocument): Markup {
  const shared = (matrix: ConvertDocument['matrices'][number]) => matrix.depth !== null;
  const worst = modules.reduce((most, each) => (each.lost > most.lost ? each : most));
  const title = `${worst.module} loses most: ${percent(worst.lost)} of its norm`;
  return html`
<section>
  <h2>Layers and modules</h2>
  <h3>${title}</h3>
  <p>What is lost of a matrix is the Frobenius norm of original − (shared + B·A), relative to the original’s, with everything rounded as it was written.</p>
  <div class="columns">
    <div><h3>Lost of each matrix</h3>${heatMap({
      title: 'Relative error by layer and module',
      matrices,
      value: (matrix) => (shared(matrix) ? matrix.lost : undefined),
      format: percent,
      brief: (value) => String(Math.round(100 * value)),
    })}</div>
    ${
      lora !== null &&
      html`<div><h3>Rank of its factors</h3>${heatMap({
        title: 'Rank by layer and module',
        matrices,
        value: (matrix) => (shared(matrix) ? matrix.rank : undefined),
        format: String,
        brief: String,
      })}</div>`
    }
  </div>
  <div class="wide"><table>
    <tr><th scope="col">module</th><th scope="col">size</th><th scope="col">rank</th><th scope="col">parameters of factors</th><th scope="col">lost by sharing</th><th scope="col">lost still</th><th scope="col">of it squared, brought back</th></tr>
    ${modules.map(
      ({ module, rows, cols, ranks, lora: factors, shared: before, lost, kept }) => html`
    <tr><th scope="row">${module}</th><td>${rows} × ${cols}</td><td>${ranks.least === ranks.most ? ranks.most : `${ranks.least} to ${ranks.most}`}</td><td>${parameterText(factors)}</td><td>${percent(before)}</td><td>${percent(lost)}</td><td>${kept === null || factors === 0 ? '' : percent(kept)}</td></tr>`,
    )}
  </table></div>
</section>`;
}

import { type Bar, barChart } from '../../../../measure/page/bar-chart.ts';
import { html, type Markup } from '../../../../measure/page/markup.ts';
import { percent } from '../../../../measure/page/quantities.ts';
import type { ConvertDocument } from '../convert-document.ts';
import { parameterText } from '../parameter-text.ts';

/** Parameters of the original's layers and of the converted model's, at its own ranks and at those of the paper. */
export function sizesSection({ parameters, sizes, paper, sharing }: ConvertDocument): Markup {
  const { originalLayers, storedLayers, lora, convertedLayers, other } = parameters;
  const share = (count: number) => percent(count / originalLayers);
  const unit = originalLayers >= 1e9 ? 1e9 : 1e6;
  const scaled = (count: number) => count / unit;
  const part = (kind: string, count: number, what: string) => {
    return { kind, value: scaled(count), title: `${what}: ${parameterText(count)}, ${share(count)}` };
  };
  const bar = (label: string, factors: number, strong: boolean, printed?: string): Bar => ({
    label,
    strong,
    parts: [part('best', storedLayers, 'shared layers'), part('loss', factors, 'factors')],
    text: parameterText(storedLayers + factors),
    aside: `${share(storedLayers + factors)}${printed === undefined ? '' : `, ${printed}`}`,
  });
  const own = sizes.some((size) => size.own);
  const said = ({ asPrinted, paper: theirs }: ConvertDocument['sizes'][number]) =>
    theirs === undefined
      ? undefined
      : theirs === asPrinted
        ? `in the paper ${theirs} billion`
        : `${asPrinted} rounded as in the paper, which has ${theirs}`;
  const bars: readonly Bar[] = [
    {
      label: 'original',
      parts: [part('other', originalLayers, 'original')],
      text: parameterText(originalLayers),
      ...(paper && { aside: `in the paper ${paper.full} billion` }),
    },
    ...sizes.map((size) =>
      bar(
        size.rank === 0 ? 'no factors' : `rank ${size.rank}`,
        size.convertedLayers - storedLayers,
        size.own,
        said(size),
      ),
    ),
    ...(own ? [] : [bar('this model', lora, true)]),
  ];
  const title = `${parameterText(originalLayers)} parameters become ${parameterText(convertedLayers)}`;
  const agrees = sizes.filter((size) => size.paper !== undefined);
  return html`
<section>
  <h2>Size</h2>
  <h3>${title}</h3>
  <p>Parameters of all layers, norms and biases included: what Relaxed Recursive Transformers counts. Embeddings, final norm and head have ${parameterText(other)} more.${
    agrees.length > 0 &&
    ` The paper’s numbers are those of its ${paper?.name} with ${sharing.loops} loops; its tables round shared layers and factors apart, and count queries, keys and values as three matrices.`
  }</p>
  <ul class="legend">
    <li><svg width="12" height="12" aria-hidden="true"><rect class="best" width="12" height="12"/></svg>shared layers</li>
    <li><svg width="12" height="12" aria-hidden="true"><rect class="loss" width="12" height="12"/></svg>factors</li>
  </ul>
  ${barChart({ title, bars, unit: unit === 1e9 ? 'billion parameters' : 'million parameters', format: (value) => value.toLocaleString('en-US', { maximumFractionDigits: 2 }) })}
</section>`;
}

import { html, type Markup } from '../../../../measure/page/markup.ts';
import { coordinate, percent } from '../../../../measure/page/quantities.ts';
import type { ConvertDocument, ReportedMatrix } from '../convert-document.ts';

const width = 1000;
const labelWidth = 30;
const gap = 8;
const top = 22;

/** Powers of ten below the largest singular value that are drawn. */
const decades = 4;

/** Points of a line at most: more could not be told apart. */
const drawn = 64;

/** The singular values of what sharing lost of every matrix; nothing where none were computed. */
export function spectraSection({ matrices, lora }: ConvertDocument): Markup | undefined {
  const values = matrices.flatMap(({ singular, norm }) => (singular.length === 0 ? [] : [singular[0]! / norm]));
  if (values.length === 0) return undefined;
  const modules = [...new Set(matrices.map(({ module }) => module))];
  const layers = 1 + Math.max(...matrices.map(({ layer }) => layer));
  const most = Math.log10(Math.max(...values));
  const lowest = matrices.flatMap(({ singular, norm }) =>
    singular.slice(-1).map((value) => Math.log10(Math.max(value / norm, 1e-30))),
  );
  const least = Math.max(Math.min(...lowest), most - decades);
  const cellWidth = (width - labelWidth) / modules.length - gap;
  const cellHeight = Math.max(34, Math.min(84, Math.round(760 / layers)));
  const height = top + layers * (cellHeight + gap);
  const all = matrices.every(
    ({ singular, rows, cols }) => singular.length === 0 || singular.length === Math.min(rows, cols),
  );
  return html`
<section>
  <h2>Spectra</h2>
  <h3>What sharing lost of each matrix, by singular value</h3>
  <p>Logarithmic, the same scale everywhere: ${
    lora?.calibration == null
      ? `from ${power(least)} to ${power(most)} of the original’s norm.`
      : `of the matrices weighted by what the model’s activations are on ${lora.calibration}.`
  } ${
    all ? 'All singular values, largest first;' : 'Largest first, as many as were computed;'
  } filled are those that the factors keep. Beside a spectrum: what is lost still of the matrix.</p>
  <div class="wide"><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Singular values of every matrix">
  ${modules.map((module, i) => html`<text class="tick" x="${coordinate(labelWidth + i * (cellWidth + gap))}" y="14">${module}</text>`)}
  ${Array.from(
    { length: layers },
    (_, layer) =>
      html`<text class="tick" x="${labelWidth - 10}" y="${top + layer * (cellHeight + gap) + cellHeight / 2 + 4}" text-anchor="end">${layer}</text>`,
  )}
  ${matrices.map((matrix) => {
    const x = labelWidth + modules.indexOf(matrix.module) * (cellWidth + gap);
    const y = top + matrix.layer * (cellHeight + gap);
    return html`<g transform="translate(${coordinate(x)} ${y})"><title>${titleOf(matrix)}</title><rect class="panel" width="${coordinate(cellWidth)}" height="${cellHeight}" rx="3"/>${panel(matrix, cellWidth, cellHeight, least, most)}</g>`;
  })}
  </svg></div>
</section>`;
}

function panel(
  { singular, rank, norm, lost, shared, depth }: ReportedMatrix,
  cellWidth: number,
  cellHeight: number,
  least: number,
  most: number,
): Markup {
  const text = depth === null || shared === 0 ? 'as it was' : percent(lost);
  const label = html`<text class="cell-text" x="${coordinate(cellWidth - 5)}" y="13" text-anchor="end">${text}</text>`;
  if (singular.length === 0) return label;
  const place = (i: number) => coordinate((i / singular.length) * cellWidth);
  const level = (value: number) => {
    const share = (Math.log10(Math.max(value / norm, 1e-30)) - least) / (most - least || 1);
    return coordinate(cellHeight - 3 - Math.max(0, Math.min(1, share)) * (cellHeight - 7));
  };
  const step = Math.max(1, Math.ceil(singular.length / drawn));
  const line = (until: number) => {
    const indices = [];
    for (let i = 0; i < until; i += step) indices.push(i);
    return `${indices.map((i, n) => `${n === 0 ? 'M' : 'L'}${place(i)} ${level(singular[i]!)}`).join('')}L${place(until)} ${level(singular[until - 1]!)}`;
  };
  const kept = Math.min(rank, singular.length);
  return html`${kept > 0 && html`<path class="kept" d="${line(kept)}V${cellHeight}H0Z"/>`}<path class="spectrum" d="${line(singular.length)}"/>${label}`;
}

function titleOf({
  layer,
  module,
  stored,
  depth,
  rank,
  rows,
  cols,
  shared,
  lost,
  kept,
  singular,
}: ReportedMatrix): string {
  const where = depth === null ? 'its own' : `stored layer ${stored} at depth ${depth}`;
  const largest =
    singular.length === 0
      ? ''
      : `\nlargest singular value ${singular[0]!.toPrecision(3)}, of ${singular.length} computed`;
  return `layer ${layer} ${module}, ${rows} × ${cols}, ${where}\nrank ${rank}: ${percent(shared)} lost by sharing, ${percent(lost)} still${kept === null ? '' : `, ${percent(kept)} brought back`}${largest}`;
}

/** `10⁻³`, nearly: `0.0012`. */
function power(exponent: number): string {
  return Number((10 ** exponent).toPrecision(1)).toString();
}

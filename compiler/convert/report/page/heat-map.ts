import { html, type Markup } from '../../../../measure/page/markup.ts';
import { coordinate } from '../../../../measure/page/quantities.ts';
import type { ReportedMatrix } from '../convert-document.ts';

export interface HeatMapOptions {
  readonly title: string;
  readonly matrices: readonly ReportedMatrix[];
  /** Undefined: the cell is empty. */
  readonly value: (matrix: ReportedMatrix) => number | undefined;
  readonly format: (value: number) => string;
  /** In a cell, where it is wide enough. */
  readonly brief: (value: number) => string;
}

/** Colours of a heat map: classes `depth-0` to `depth-11` of the style sheet, from light to dark. */
export const heatSteps = 12;

const width = 520;
const labelWidth = 128;
const rowHeight = 26;
const top = 22;

/** A number of each matrix: modules below each other, layers side by side, in the order in which they run. */
export function heatMap({ title, matrices, value, format, brief }: HeatMapOptions): Markup {
  const modules = [...new Set(matrices.map(({ module }) => module))];
  const layers = 1 + Math.max(...matrices.map(({ layer }) => layer));
  const values = matrices.map(value).filter((each) => each !== undefined);
  const most = Math.max(0, ...values);
  const step = (each: number) => (most === 0 ? 0 : Math.min(heatSteps - 1, Math.floor((each / most) * heatSteps)));
  const cell = (width - labelWidth) / layers;
  const height = top + modules.length * rowHeight + 46;
  const longest = Math.max(0, ...values.map((each) => brief(each).length));
  const bottom = top + modules.length * rowHeight;
  // Every label where there is room for all.
  const every = Math.ceil(16 / cell);
  return html`
<figure class="wide"><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
  <text class="tick" x="${labelWidth}" y="14">layer of the original</text>
  ${modules.map(
    (module, row) => html`
  <text class="tick" x="${labelWidth - 8}" y="${top + row * rowHeight + 17}" text-anchor="end">${module}</text>`,
  )}
  ${matrices.map((matrix) => {
    const found = value(matrix);
    const [x, y] = [labelWidth + matrix.layer * cell, top + modules.indexOf(matrix.module) * rowHeight];
    const shade = found === undefined ? undefined : step(found);
    const says = `layer ${matrix.layer}, ${matrix.module}: ${found === undefined ? 'not shared' : format(found)}`;
    return html`
  <rect class="cell ${shade === undefined ? 'none' : `depth-${shade}`}" x="${coordinate(x)}" y="${y}" width="${coordinate(cell)}" height="${rowHeight}"><title>${says}</title></rect>${
    found !== undefined &&
    longest * 6.2 + 4 <= cell &&
    html`<text class="${shade! < 6 ? 'on-light' : 'on-dark'}" x="${coordinate(x + cell / 2)}" y="${y + 17}" text-anchor="middle">${brief(found)}</text>`
  }`;
  })}
  ${Array.from(
    { length: layers },
    (_, layer) =>
      layer % every === 0 &&
      html`<text class="tick" x="${coordinate(labelWidth + (layer + 0.5) * cell)}" y="${bottom + 15}" text-anchor="middle">${layer}</text>`,
  )}
  ${Array.from({ length: heatSteps }, (_, i) => html`<rect class="depth-${i}" x="${labelWidth + i * 12}" y="${bottom + 26}" width="12" height="10"/>`)}
  <text class="tick" x="${labelWidth - 8}" y="${bottom + 35}" text-anchor="end">0</text>
  <text class="tick" x="${labelWidth + heatSteps * 12 + 8}" y="${bottom + 35}">${format(most)}</text>
</svg></figure>`;
}

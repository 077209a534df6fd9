import { type Line, lineChart } from '../../../../measure/page/line-chart.ts';
import { html, type Markup } from '../../../../measure/page/markup.ts';
import { percent, tickText } from '../../../../measure/page/quantities.ts';
import type { ConvertDocument, ReportedMatrix } from '../convert-document.ts';

/** What a module would lose at each rank; nothing where singular values are not those of what sharing lost. */
export function lossesSection({ modules, matrices, lora }: ConvertDocument): Markup | undefined {
  if (lora === null || lora.init === 'zero' || lora.calibration !== null) return undefined;
  const lines = modules.flatMap(({ module }) => {
    const own = matrices.filter((matrix) => matrix.module === module && matrix.shared > 0 && matrix.depth !== null);
    return own.some(({ singular }) => singular.length === 0) || own.length === 0 ? [] : [lossLine(module, own)];
  });
  if (lines.length === 0) return undefined;
  const chart = (title: string, shown: readonly Line[]) =>
    shown.length > 0 &&
    html`<div><h3>${title}</h3>${lineChart({
      title: `${title}: lost by rank`,
      lines: shown,
      xTitle: 'rank of all its factors',
      yTitle: 'lost of the norm',
      formatX: tickText,
      formatY: percent,
      fromZero: true,
    })}</div>`;
  // The last modules of a layer are its MLP's.
  const count = modules.filter(({ module }) => /mlp/.test(module)).length;
  const isMlp = ({ name }: Line) => modules.slice(modules.length - count).some(({ module }) => module === name);
  return html`
<section>
  <h2>What another rank would lose</h2>
  <p>From the singular values that were computed: the best that factors of a rank can do for the matrices. Shared layers stay what they are.</p>
  <div class="columns">
    ${chart(
      'Attention',
      lines.filter((line) => !isMlp(line)),
    )}
    ${chart('MLP', lines.filter(isMlp))}
  </div>
</section>`;
}

function lossLine(name: string, matrices: readonly ReportedMatrix[]): Line {
  const computed = Math.min(...matrices.map(({ singular }) => singular.length));
  const ranks = [...new Set([...Array.from({ length: 12 }, (_, i) => Math.round((computed * i) / 12)), computed])];
  const original = matrices.reduce((sum, { norm }) => sum + norm * norm, 0);
  const squares = matrices.map(({ singular }) => singular.map((value) => value * value));
  const points = ranks.map((rank) => {
    const left = matrices.reduce((sum, { norm, shared }, i) => {
      const brought = squares[i]!.slice(0, rank).reduce((total, square) => total + square, 0);
      return sum + Math.max(0, (norm * shared) ** 2 - brought);
    }, 0);
    const lost = Math.sqrt(left / original);
    return { x: rank, y: lost, title: `${name}, rank ${rank}: ${percent(lost)} lost` };
  });
  return { name, points };
}

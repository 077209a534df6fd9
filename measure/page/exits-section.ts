import type { BenchRun, BenchVariant } from '../bench-document.ts';
import { html, type Markup } from './markup.ts';
import { coordinate, percent, plural } from './quantities.ts';
import { variantOf } from './variants.ts';

const width = 520;
const height = 210;
const left = 44;
const bottom = height - 40;
const top = 44;

/** Behind which loops tokens left: of depth-wise batching, and where a threshold decided. */
export function exitsSection(run: BenchRun): Markup | undefined {
  const main = variantOf(run, 'depth-wise') ?? run.variants.find(({ kind }) => kind.startsWith('sequence-wise'));
  if (main === undefined || tokensOf(main) === 0) return undefined;
  const threshold = variantOf(run, 'depth-wise-threshold');
  const shown = [main, ...(threshold === undefined || tokensOf(threshold) === 0 ? [] : [threshold])];
  const loops = main.exits.length;
  const first = main.exits[0]!.tokens / tokensOf(main);
  const title = `${percent(first)} of the tokens leave after the first of ${plural(loops, 'loop')}; ${main.meanExit.toFixed(2)} on average`;
  const largest = Math.max(
    ...shown.flatMap((variant) => variant.exits.map(({ tokens }) => tokens / tokensOf(variant))),
  );
  const slot = (width - left - 10) / loops;
  const barWidth = Math.min(70, (slot * 0.8) / shown.length);
  const y = (share: number) => bottom - ((bottom - top) * share) / largest;
  return html`
<section>
  <h3>${title}</h3>
  <p>${run.workload.exits}${shown.length > 1 && '; the second bar of each pair: exits decided by the threshold'}</p>
  <svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
    <line class="axis" x1="${left}" x2="${width - 10}" y1="${bottom}" y2="${bottom}"/>
    ${shown.map((variant, v) =>
      variant.exits.map(({ loop, tokens }) => {
        const share = tokens / tokensOf(variant);
        const x = left + (loop - 0.5) * slot + (v - shown.length / 2) * barWidth;
        return html`<rect class="depth-${loop - 1}${v > 0 && ' second'}" x="${coordinate(x)}" y="${coordinate(y(share))}" width="${coordinate(barWidth - 2)}" height="${coordinate(bottom - y(share))}"><title>${variant.label}: ${plural(tokens, 'token')} after loop ${loop}</title></rect>
    ${barWidth > 24 && html`<text class="bar-text" x="${coordinate(x + barWidth / 2 - 1)}" y="${coordinate(y(share) - 5)}" text-anchor="middle">${percent(share)}</text>`}`;
      }),
    )}
    ${main.exits
      .filter((_, i) => loops <= 12 || i % Math.ceil(loops / 12) === 0)
      .map(
        ({ loop }) =>
          html`<text class="tick" x="${coordinate(left + (loop - 0.5) * slot)}" y="${bottom + 16}" text-anchor="middle">${loop}</text>`,
      )}
    <text class="tick" x="${width - 10}" y="${bottom + 32}" text-anchor="end">left after loop</text>
    <text class="tick" x="${left}" y="12" text-anchor="start">share of ${plural(tokensOf(main), 'token')}</text>
  </svg>
</section>`;
}

function tokensOf({ exits }: BenchVariant): number {
  return exits.reduce((sum, { tokens }) => sum + tokens, 0);
}

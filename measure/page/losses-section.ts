import type { BenchRun } from '../bench-document.ts';
import { type Bar, barChart } from './bar-chart.ts';
import { html, type Markup } from './markup.ts';
import { percent, tickText, times } from './quantities.ts';

const names = {
  head: 'heads, at every step',
  host: 'host',
  'empty-rows': 'slots without a row',
  other: 'everything else',
} as const;

/** From what the exits allow to what was reached, step by step; nothing without bounds. */
export function lossesSection({ bounds }: BenchRun): Markup | undefined {
  if (bounds === undefined) return undefined;
  const { gain, reached, losses, shareOfGain, shareOfGainWithHeads, meanExit, loops } = bounds;
  const { low, high } = bounds.shareOfGainWithHeadsEnds ?? { low: shareOfGainWithHeads, high: shareOfGainWithHeads };
  // Full depth is where gains start; an axis from 0 would hide what is lost.
  const origin = reached > 1 ? 1 : 0;
  let left = gain;
  const taken = losses.map(({ what, gain: lost }): Bar => {
    left -= lost;
    return {
      label: names[what],
      parts: [
        { kind: lost < 0 ? 'other' : 'loss', value: Math.abs(lost), title: `${names[what]}: ${lost.toFixed(3)}` },
      ],
      text: `${lost < 0 ? '+' : '−'}${Math.abs(lost).toFixed(2)}`,
      // A loss below zero is noise, or a better step than the bound supposes: it is drawn where it adds.
      from: lost < 0 ? left + lost : left,
    };
  });
  const bars: readonly Bar[] = [
    {
      label: 'exits allow',
      parts: [{ kind: 'other', value: gain - origin, title: `${loops} loops over ${meanExit.toFixed(2)}` }],
      text: times(gain),
    },
    ...taken,
    {
      label: 'reached',
      strong: true,
      parts: [{ kind: 'best', value: reached - origin, title: `measured: ${times(reached)}` }],
      text: times(reached),
    },
  ];
  const title = `${percent(shareOfGainWithHeads)} of the bound with heads is reached, ${percent(shareOfGain)} of plain loops over mean exit`;
  return html`
<section>
  <h3>${title}</h3>
  <p>Tokens leave after ${meanExit.toFixed(2)} of ${loops} loops, which would make ${times(gain)} full depth if nothing but loops took time.${
    percent(low) !== percent(high) &&
    ` What heads take is not known exactly: it is ${percent(low)} to ${percent(high)} of the bound with heads.`
  }</p>
  ${barChart({ title, bars, unit: 'tokens/s over full depth', format: (value) => `${tickText(value)} ×`, width: 520, origin })}
</section>`;
}

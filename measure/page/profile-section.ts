import type { StepProfile } from '../../files/step-profile.ts';
import { type Line, lineChart } from './line-chart.ts';
import { html, type Markup } from './markup.ts';
import { duration, plural, tickText } from './quantities.ts';

/** What a pass takes by its rows, and what that makes a row; nothing without a profile. */
export function profileSection(profile: StepProfile | undefined): Markup | undefined {
  if (profile === undefined || profile.passes.length < 2) return undefined;
  const { passes, heads = [], context } = profile;
  const line = (name: string, points: readonly (readonly [number, number])[], what: string): Line => ({
    name,
    points: points.map(([x, y]) => ({ x, y, title: `${plural(x, what)}: ${duration(y)}` })),
  });
  const first = passes[0]!;
  const last = passes.at(-1)!;
  const growth = last.milliseconds / first.milliseconds;
  const title = `${tickText(last.rows / first.rows)} times the rows take ${growth.toFixed(2)} times the time`;
  const whole = [
    line(
      'pass',
      passes.map(({ rows, milliseconds }) => [rows, milliseconds] as const),
      'row',
    ),
    ...(heads.length < 2
      ? []
      : [
          line(
            'heads',
            heads.map((each) => [each.heads, each.milliseconds] as const),
            'head',
          ),
        ]),
  ];
  const each = [
    line(
      'pass',
      passes.map(({ rows, milliseconds }) => [rows, milliseconds / rows] as const),
      'row',
    ),
  ];
  const axes = { xTitle: 'rows', formatX: tickText, formatY: tickText, fromZero: true };
  return html`
<section>
  <h2>What a pass takes</h2>
  <h3>${title}</h3>
  <p>One loop of the block, by rows${context !== undefined && `, each with ${context.toLocaleString('en-US')} positions behind it`}${profile.host !== undefined && `; the host adds ${duration(profile.host)} to a step`}.</p>
  <div class="columns">
    ${lineChart({ title: 'Milliseconds of a pass by rows', lines: whole, yTitle: 'milliseconds', ...axes })}
    ${lineChart({ title: 'Milliseconds of a row by rows', lines: each, yTitle: 'milliseconds a row', ...axes })}
  </div>
</section>`;
}

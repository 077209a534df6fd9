import { type Align, formatTable } from '../inspect/table.ts';
import { formatSimulation } from '../simulate/format-simulation.ts';
import type { EngineTime } from '../tensorrt/time/time-engines.ts';
import type { EngineBench } from './bench-engines.ts';

const what = {
  passes: 'step of rows, one head',
  heads: 'step of all rows, heads',
  prompt: 'step of one prompt, tokens',
  propagate: 'skipped loops filled in, states',
} as const satisfies Record<EngineTime['part'], string>;

const titles = ['', '', 'profile', 'ms', '10 %', '90 %', 'times'];
const aligns: readonly Align[] = ['left', 'right', 'left', 'right', 'right', 'right', 'right'];

/** What was timed and what it comes to, for a terminal. */
export function formatEngineTimes(
  { executedBy, times, profile, simulation }: EngineBench,
  bold: (text: string) => string = (text) => text,
): string {
  const rows = times.map(({ part, count, plan, profile: name, median, low, high, iterations }, i) => [
    times[i - 1]?.part === part ? '' : what[part],
    String(count),
    `${name} of ${plan}`,
    ...[median, low, high].map((milliseconds) => milliseconds.toPrecision(4)),
    String(iterations),
  ]);
  const table = formatTable([titles, ...rows], aligns).map((line) => `  ${line}`);
  return [
    bold('Engines'),
    `  ${executedBy}; ${profile.context} positions behind each row`,
    '',
    ...table,
    '',
    formatSimulation(simulation, bold),
  ].join('\n');
}

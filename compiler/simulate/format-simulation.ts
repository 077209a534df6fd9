import type { BatchingResult, SimulatedRun, SimulationReport } from '../../simulate/simulate.ts';
import { printable } from '../inspect/printable.ts';
import { plural } from '../inspect/section.ts';
import { type Align, formatTable } from '../inspect/table.ts';

/** Shows part of a text so that it stands out. */
type Emphasize = (text: string) => string;

const titles = ['', 'tokens/s', 'formula', 'gain', 'rows a step', 'occupied', 'first token', 'request p50', 'p99'];
const aligns: readonly Align[] = ['left', ...titles.slice(1).map((): Align => 'right')];

/** What a simulation came to, for a terminal: a table for each number of rows. */
export function formatSimulation(report: SimulationReport, bold: Emphasize = (text) => text): string {
  const { name, source, loops, exits, meanExit, sequences, kvPolicy, decision, runs } = report;
  const shares = exits.map((share, i) => `${percent(share)} after loop ${i + 1}`).filter((_, i) => exits[i]! > 0);
  const decided = decision === 'known' ? 'known' : 'decided by confidence at every exit';
  return [
    bold(name === undefined ? 'Simulation' : printable(name)),
    `  ${plural(sequences, 'sequence')}; ${plural(loops, 'loop')}, KV policy ${kvPolicy}`,
    `  exits ${decided}: ${shares.join(', ')}; ${meanExit.toFixed(2)} loops on average`,
    ...(source === undefined ? [] : [`  times: ${printable(source)}`]),
    ...runs.flatMap((run) => ['', ...runLines(run, report, bold)]),
    '',
    ...legend(runs),
    '',
    'Gain is over full depth. The formula is for a queue that never empties and leaves prompts out.',
    '',
  ].join('\n');
}

/** Who shares a step, for whoever meets the words here first. */
const meanings: Readonly<Record<BatchingResult['batching'], string>> = {
  vanilla: 'a batch starts together, runs every loop, and the next one starts when its longest sequence has ended',
  'full-depth': 'every loop, but sequences join and leave between tokens',
  'sequence-wise': 'the same with exits: all rows run until the deepest has left',
  'sequence-wise-shrink': "rows that left are dropped from a token's later loops",
  'depth-wise': 'rows of any depth together: one that left starts its next token in the next step',
};

function legend(runs: readonly SimulatedRun[]): readonly string[] {
  const names = [...new Set(runs.flatMap(({ batchings }) => batchings.map(({ batching }) => batching)))];
  const width = Math.max(...names.map(({ length }) => length));
  return names.map((name) => `  ${name.padEnd(width)}  ${meanings[name]}`);
}

function runLines(run: SimulatedRun, { fitting }: SimulationReport, bold: Emphasize): readonly string[] {
  const fastest = run.batchings.reduce((a, b) => (b.tokensPerSecond > a.tokensPerSecond ? b : a));
  const table = formatTable([titles, ...run.batchings.map(batchingCells)], aligns);
  const { rows, entering, leaving } = run.tuneFor;
  const needed = run.batchings.find(({ batching }) => batching === 'depth-wise')?.tuneForRows ?? rows;
  const mostly = needed < rows ? ` This workload mostly needs ${needed}.` : '';
  return [
    `${bold(plural(run.maxRows, 'row'))}, ${limitText(run, fitting)}`,
    ...table.map((line, i) => `  ${run.batchings[i - 1] === fastest ? bold(line) : line}`),
    `  These exits allow a gain of ${run.gain.toFixed(2)}; with heads, host and caches ${run.gainWithAll.toFixed(2)}.`,
    `  Tune a depth-wise graph for ${plural(rows, 'row')}, of which ${entering} enter and ${leaving} leave.${mostly}`,
  ];
}

function limitText({ limitedBy, maxSequences }: SimulatedRun, fitting: number | undefined): string {
  switch (limitedBy) {
    case 'memory':
      return `${plural(fitting ?? maxSequences, 'sequence')} in memory`;
    case 'max-sequences':
      return `${plural(maxSequences, 'sequence')} at once`;
    case 'workload':
      return 'more than the workload has sequences';
    default:
      return maxSequences > 1 ? `${plural(maxSequences, 'sequence')} at once` : 'one sequence at once';
  }
}

function batchingCells(result: BatchingResult): readonly string[] {
  const { batching, tokensPerSecond, closedForm, gain, rowsPerStep, occupancy, timeToFirstToken, latency } = result;
  return [
    batching,
    rate(tokensPerSecond),
    rate(closedForm),
    gain.toFixed(2),
    rowsPerStep.toFixed(1),
    percent(occupancy),
    duration(timeToFirstToken?.p50),
    duration(latency?.p50),
    duration(latency?.p99),
  ];
}

function rate(tokens: number): string {
  return tokens >= 100 ? Math.round(tokens).toLocaleString('en-US') : tokens.toPrecision(3);
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function duration(milliseconds: number | undefined): string {
  if (milliseconds === undefined) return '';
  if (milliseconds < 1000) return `${milliseconds.toPrecision(3)} ms`;
  return milliseconds < 600_000
    ? `${(milliseconds / 1000).toPrecision(3)} s`
    : `${Math.round(milliseconds / 60_000)} min`;
}

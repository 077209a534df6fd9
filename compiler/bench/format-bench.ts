import type { BenchDocument, BenchRun, BenchVariant } from '../../measure/bench-document.ts';
import { duration, percent, quantity, times } from '../../measure/page/quantities.ts';
import { spreadOf } from '../../measure/statistics.ts';
import { printable } from '../inspect/printable.ts';
import { plural } from '../inspect/section.ts';
import { type Align, formatTable } from '../inspect/table.ts';
import { formatProfile, formatQuality } from './format-measured.ts';

/** Shows part of a text so that it stands out. */
export type Emphasize = (text: string) => string;

type Bounds = NonNullable<BenchRun['bounds']>;

/** What a bench came to, for a terminal. */
export function formatBench(document: BenchDocument, bold: Emphasize = (text) => text): string {
  const { package: model, environment, runs, profile, quality } = document;
  const parameters =
    model.storedParameters === undefined ? '' : `, ${quantity(model.storedParameters / 1e6)} million parameters stored`;
  return [
    bold(printable(model.name)),
    `  block of ${plural(model.block, 'layer')} × ${plural(model.loops, 'loop')}${parameters}, ` +
      `vocabulary ${model.vocabulary.toLocaleString('en-US')}, ${model.precision}` +
      (model.lora === undefined ? '' : `, LoRA ${model.lora}`),
    `  ${environment.cpu}, ${plural(environment.threads, 'thread')} of ONNX Runtime ${environment.onnxRuntime}, ` +
      `Node ${environment.node}`,
    ...runs.flatMap((run) => ['', ...formatRun(run, bold)]),
    ...(profile === undefined ? [] : ['', ...formatProfile(profile, bold)]),
    ...(quality === undefined ? [] : ['', ...formatQuality(quality, bold)]),
    '',
  ].join('\n');
}

function formatRun(run: BenchRun, bold: Emphasize): readonly string[] {
  const { workload, variants, bounds, boundsByThreshold, doubts = [] } = run;
  const right = (count: number): readonly Align[] => ['left', ...Array<Align>(count).fill('right')];
  const steady = variants.filter((variant) => variant.steady !== undefined);
  return [
    `${bold(plural(workload.maxRows, 'row'))}, ${plural(workload.maxSequences, 'sequence')} at once`,
    ...doubts.map((doubt) => `  ${bold('Beware:')} ${doubt}`),
    ...workloadLines(run).map((line) => `  ${line}`),
    ...(steady.length === 0 ? ['  There was no round in which sequences were waiting all the time.'] : []),
    ...table('steady state', steadyTitles, steady.map(steadyCells), right(steadyTitles.length), bold),
    ...table('whole workload', wholeTitles, variants.map(wholeCells), right(wholeTitles.length), bold),
    ...table('where time went', parts, variants.map(partCells), right(parts.length), bold),
    '',
    ...(bounds === undefined ? [] : boundLines(bounds, 'depth-wise')),
    ...(boundsByThreshold === undefined ? [] : boundLines(boundsByThreshold, 'by threshold')),
    ...verdictLines(run),
  ];
}

function workloadLines({ workload }: BenchRun): readonly string[] {
  const { sequences, promptTokens, newTokens, arrivals, exits, kvPolicy, rowOrder, rounds, seed } = workload;
  const range = ({ least, most }: { readonly least: number; readonly most: number }) =>
    least === most ? `${least}` : `${least} to ${most}`;
  const arrive = arrivals.kind === 'at-once' ? 'all at once' : `${arrivals.perSecond} a second (Poisson)`;
  return [
    `${plural(sequences, 'sequence')} ${arrive}: prompts of ${range(promptTokens)} tokens, ${range(newTokens)} new ones, seed ${seed}`,
    `exits: ${exits}; KV policy ${kvPolicy}, ${rowOrder} rows first; ${plural(rounds, 'round')} in turn`,
  ];
}

const steadyTitles = ['tokens/s', 'least', 'most', 'gain', 'loops', 'rows', 'heads', 'a step', 'host', 'of it'];

function steadyCells({ label, steady }: BenchVariant): readonly string[] {
  const { tokensPerSecond, gain, meanExit, rowsPerStep, headsPerStep, run, host, hostShare } = steady!;
  return [
    printable(label),
    quantity(tokensPerSecond.median),
    quantity(tokensPerSecond.low),
    quantity(tokensPerSecond.high),
    gain === undefined ? '' : times(gain.median),
    meanExit.toFixed(2),
    rowsPerStep.toFixed(1),
    headsPerStep.toFixed(1),
    duration(run + host),
    duration(host),
    percent(hostShare),
  ];
}

const wholeTitles = [
  'tokens/s',
  'least',
  'most',
  'occupied',
  'first token',
  'p90',
  'request p50',
  'p90',
  'p99',
  'steps',
];

function wholeCells(variant: BenchVariant): readonly string[] {
  const { label, tokensPerSecond, tokens, milliseconds, occupancy, timeToFirstToken, latency, steps, whole } = variant;
  const show = (value: number | undefined) => (value === undefined ? '' : duration(value));
  return [
    printable(label) + (whole ? '' : ', cut off'),
    quantity((1000 * tokens) / milliseconds),
    quantity(tokensPerSecond.low),
    quantity(tokensPerSecond.high),
    percent(occupancy),
    show(timeToFirstToken?.p50),
    show(timeToFirstToken?.p90),
    show(latency?.p50),
    show(latency?.p90),
    show(latency?.p99),
    steps.toLocaleString('en-US'),
  ];
}

const parts = ['block', 'attention', 'head', 'padding', 'prompt', 'cache', 'host', 'wait'] as const;

function partCells({ label, breakdown, milliseconds }: BenchVariant): readonly string[] {
  return [
    printable(label),
    ...parts.map((part) => {
      const time = breakdown?.[part];
      return time === undefined ? '' : percent(time / milliseconds);
    }),
  ];
}

/** A table under a title; nothing when it would be empty. */
function table(
  title: string,
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  aligns: readonly Align[],
  bold: Emphasize,
): readonly string[] {
  if (rows.length === 0) return [];
  const [head, ...body] = formatTable([[title, ...titles], ...rows], aligns);
  return ['', `  ${bold(head!)}`, ...body.map((line) => `  ${line}`)];
}

function boundLines(bounds: Bounds, name: string): readonly string[] {
  const { loops, meanExit, gain, gainWithHeads, reached, losses } = bounds;
  const lost = losses.map(({ what, gain: share }) => `${what.replace('-', ' ')} ${share.toFixed(3)}`).join(', ');
  const share = withEnds(percent2(bounds.shareOfGainWithHeads), bounds.shareOfGainWithHeadsEnds, percent2);
  return [
    `  ${name}: the exits allow ${loops} / ${meanExit.toFixed(3)} = ${times(gain)}, with heads ${gainWithHeads.toFixed(3)} ×`,
    `    ${partTimes(bounds)}`,
    `    reached ${reached.toFixed(3)} ×: ${share} of that with heads, ${percent2(bounds.shareOfGain)} of all; lost ${lost}`,
  ];
}

function partTimes({ pass, passFrom, head, headEnds, headsPerStep, headOfStep, headOfStepEnds, parts: of }: Bounds) {
  return (
    `a pass takes ${duration(pass)}${passFrom === 'probes' ? ' (by probes)' : ''}, ` +
    `heads of all rows ${withEnds(duration(head), headEnds, duration)}, ` +
    `the ${headsPerStep.toFixed(1)} heads of a step ${withEnds(duration(headOfStep), headOfStepEnds, duration)}` +
    (of === undefined ? '' : `; of a pass, attention ${duration(of.attention)}, padding ${duration(of.padding)}`)
  );
}

/** A number and where it may be, unless that is the same to the last digit shown. */
function withEnds(
  shown: string,
  ends: { readonly low: number; readonly high: number } | undefined,
  show: (value: number) => string,
): string {
  if (ends === undefined) return shown;
  const [low, high] = [show(ends.low), show(ends.high)];
  return low === shown && high === shown ? shown : `${shown} (${low} to ${high})`;
}

function verdictLines({ variants, sameTokens, unrolled, engine, othersCpu }: BenchRun): readonly string[] {
  const lines: string[] = [];
  const steadyRates = (kind: BenchVariant['kind']) =>
    variants.find((variant) => variant.kind === kind)?.steady?.tokensPerSecond.samples ?? [];
  const shrinks = steadyRates('sequence-wise-shrink');
  const over = steadyRates('depth-wise').map((rate, round) => rate / shrinks[round]!);
  if (over.length > 0 && shrinks.length === over.length) {
    const { median, low, high } = spreadOf(over);
    lines.push(
      `Depth-wise batching makes ${times(median)} the tokens of sequence-wise batching that shrinks ` +
        `(${low.toFixed(2)} to ${high.toFixed(2)}).`,
    );
  }
  if (sameTokens !== undefined) {
    lines.push(
      sameTokens
        ? 'All variants with the same exits gave the same tokens.'
        : 'Variants with the same exits gave DIFFERENT tokens.',
    );
  }
  if (unrolled !== undefined) {
    const { median, low, high } = unrolled.slower;
    lines.push(
      `Full depth takes ${median.toFixed(3)} times as long as the form unrolled (${low.toFixed(3)} to ${high.toFixed(3)}).`,
    );
  }
  if (engine !== undefined) {
    lines.push(
      `Through the engine ${quantity(engine.tokensPerSecond)} tokens/s; ${percent(engine.hostShare)} of the time is not ` +
        `ONNX Runtime's, ${percent(engine.messageShare)} is for the thread and its messages.`,
    );
  }
  if (othersCpu !== undefined) {
    lines.push(
      `Other processes kept ${othersCpu.mean.toFixed(2)} cores busy, ${othersCpu.most.toFixed(2)} in the worst round.`,
    );
  }
  return lines.map((line) => `  ${line}`);
}

/** One digit more than for people at a glance: bars are met by it. */
function percent2(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

import type { DepthWiseRow, PaperReport } from '../../simulate/paper/reproduce-paper.ts';
import { type Align, formatTable } from '../inspect/table.ts';

const titles = ['model', 'loops', 'LoRA', 'coef', 'rows', 'printed', 'mean exit', 'paper', '+head', '+asking', '+K/V'];
const lastTitles = ['remains', 'complete', 'shrink'];
const aligns: readonly Align[] = ['left', ...[...titles.slice(1), ...lastTitles].map((): Align => 'right')];

/** The paper's simulation, done again, for a terminal. */
export function formatPaper(
  { sequenceWise, depthWise, unaccounted }: PaperReport,
  bold: (text: string) => string = (text) => text,
): string {
  const rates = sequenceWise.map(({ model, rows, tokensPerSecond, printed, difference }) => [
    model,
    String(rows),
    tokensPerSecond.toFixed(1),
    String(printed),
    `${difference < 0 ? '-' : '+'}${Math.abs(100 * difference).toFixed(3)} %`,
  ]);
  const rateAligns: readonly Align[] = ['left', 'right', 'right', 'right', 'right'];
  const printedTable = formatTable([['model', 'rows', 'computed', 'printed', 'difference'], ...rates], rateAligns);
  const table = formatTable([[...titles, ...lastTitles], ...depthWise.map(cells)], aligns);
  const misprinted = depthWise.filter(({ misprint }) => misprint !== undefined);
  return [
    'Relaxed Recursive Transformers (arXiv 2410.20672 v3), Tables K.1 and K.2, SlimPajama, A100 40GB',
    '',
    bold('Sequence-wise batching, tokens/s: 1 / transformer time of K.1'),
    ...printedTable.map((line) => `  ${line}`),
    '',
    bold('Depth-wise batching: the mean exit behind the printed tokens/s, and gains over sequence-wise batching'),
    ...table.map((line, i) => {
      const misprint = depthWise[i - 1]?.misprint;
      return `  ${line}${misprint === undefined ? '' : '  left out: a misprint'}`;
    }),
    '',
    '  paper     passes of the block alone, exits by an oracle, missing keys and values for nothing',
    '  +head     embedding and head, once a token, in full batches; on both sides of the comparison',
    '  +asking   the head at every exit, which is what it takes to know the confidence',
    '  +K/V      and keys and values of skipped loops, made from the state that a token left with (policy propagate)',
    '  remains   how much of the gain is left then: (last - 1) / (paper - 1)',
    '  complete  with head and asking, when tokens run every loop for exact keys and values instead',
    '  shrink    counted as in "paper": the same exits when rows of a batch wait for each other, rows that left dropped',
    '',
    ...misprinted
      .slice(0, 1)
      .map(
        ({ model, loops, rank, misprint }) => `Left out: ${model} with ${loops} loops and LoRA ${rank}: ${misprint}.`,
      ),
    `Totals in K.1 exceed their parts by ${unaccounted.least.toFixed(3)} to ${unaccounted.most.toFixed(3)} ms a token; nobody says what that is, and it is not counted.`,
    'Nothing here tells what leaving on confidence instead of an oracle costs in accuracy.',
    '',
  ].join('\n');
}

function cells({ model, loops, rank, coefficient, rows, printed, meanExit, gains, remaining }: DepthWiseRow) {
  const name = [model, loops, rank === 0 ? '-' : rank, coefficient, rows, printed].map(String);
  if (meanExit === undefined || gains === undefined || remaining === undefined) return name;
  const { paper, head, confidence, propagate, complete, shrink } = gains;
  const numbers = [meanExit, paper, head, confidence, propagate].map((n) => n.toFixed(2));
  return [...name, ...numbers, `${Math.round(100 * remaining)} %`, complete.toFixed(2), shrink.toFixed(2)];
}

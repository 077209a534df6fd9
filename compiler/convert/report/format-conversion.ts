import { percent, quantity } from '../../../measure/page/quantities.ts';
import { printable } from '../../inspect/printable.ts';
import { plural } from '../../inspect/section.ts';
import { type Align, formatTable } from '../../inspect/table.ts';
import type { ConvertDocument, ReportedModule } from './convert-document.ts';
import { describeSharing, originsText } from './describe-sharing.ts';
import { parameterText } from './parameter-text.ts';

/** What a conversion came to, for a terminal. */
export function formatConversion(document: ConvertDocument, bold: (text: string) => string = (text) => text): string {
  return [
    bold(printable(document.model.name)),
    `  ${describeSharing(document)}`,
    `  ${originsText(document)}`,
    '',
    ...moduleLines(document, bold),
    '',
    ...sizeLines(document, bold),
    ...(document.evaluation === null ? [] : ['', ...evaluationLines(document, bold)]),
    '',
  ].join('\n');
}

function moduleLines({ modules, relativeLoss, lora, matrices }: ConvertDocument, bold: (text: string) => string) {
  const titles = ['module', 'size', 'rank', 'parameters', 'lost by sharing', 'lost still', 'brought back'];
  const all = matrices.reduce((sum, { norm }) => sum + norm * norm, 0);
  const shared = Math.sqrt(matrices.reduce((sum, matrix) => sum + (matrix.norm * matrix.shared) ** 2, 0) / all);
  const total = [
    'all',
    '',
    '',
    lora === null ? '' : parameterText(modules.reduce((sum, each) => sum + each.lora, 0)),
    percent(shared),
    percent(relativeLoss),
    shared === 0 ? '' : percent(1 - (relativeLoss / shared) ** 2),
  ];
  const aligns: readonly Align[] = ['left', ...Array<Align>(6).fill('right')];
  const rows = [titles, ...modules.map(moduleRow), total];
  return formatTable(rows, aligns).map((line, i) => `  ${i === 0 ? bold(line) : line}`);
}

function moduleRow({ module, rows, cols, ranks, lora, shared, lost, kept }: ReportedModule): readonly string[] {
  const { least, most } = ranks;
  return [
    module,
    `${rows} × ${cols}`,
    least === most ? String(most) : `${least} to ${most}`,
    lora === 0 ? '' : parameterText(lora),
    percent(shared),
    percent(lost),
    kept === null || lora === 0 ? '' : percent(kept),
  ];
}

/** Layers only: what the paper calls non-embedding parameters. */
function sizeLines({ parameters, paper, sizes, sharing }: ConvertDocument, bold: (text: string) => string) {
  const { originalLayers, storedLayers, lora, convertedLayers, other } = parameters;
  const share = (part: number) => percent(part / originalLayers);
  const own = sizes.find((size) => size.own);
  const said =
    own?.paper === undefined
      ? ''
      : `${paper?.name}, ${sharing.loops} loops, rank ${own.rank} in the paper: ${own.paper} billion`;
  const rows = [
    ['original', parameterText(originalLayers), '', paper === null ? '' : `in the paper: ${paper.full} billion`],
    ['stored layers', parameterText(storedLayers), share(storedLayers), ''],
    ...(lora === 0 ? [] : [['factors', parameterText(lora), share(lora), '']]),
    ['converted', parameterText(convertedLayers), share(convertedLayers), said],
  ];
  const lines = formatTable(rows, ['left', 'right', 'right', 'left']);
  return [
    `  ${bold('parameters of layers')}, as the paper counts (embeddings, final norm and head have ${parameterText(other)} more)`,
    ...lines.map((line) => `  ${line}`),
  ];
}

function evaluationLines({ evaluation, parameters }: ConvertDocument, bold: (text: string) => string) {
  const { text, windows, window, original, converted, ranks } = evaluation!;
  const score = (name: string, size: number, { nll, perplexity }: typeof original) => [
    name,
    parameterText(size),
    nll.toFixed(4),
    quantity(perplexity),
  ];
  const rows = [
    ['', 'parameters', 'nats a token', 'perplexity'],
    score('original', parameters.originalLayers, original),
    ...ranks.map((rank) => score(rank.rank === 0 ? 'no factors' : `rank ${rank.rank}`, rank.convertedLayers, rank)),
    score('converted', parameters.convertedLayers, converted),
  ];
  return [
    `  ${bold(printable(text))}, ${plural(windows, 'window')} of ${window} tokens`,
    ...formatTable(rows, ['left', 'right', 'right', 'right']).map((line) => `  ${line}`),
  ];
}

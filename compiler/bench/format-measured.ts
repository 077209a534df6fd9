import type { BenchDocument } from '../../measure/bench-document.ts';
import { duration, percent, quantity } from '../../measure/page/quantities.ts';
import { printable } from '../inspect/printable.ts';
import { formatTable } from '../inspect/table.ts';
import type { Emphasize } from './format-bench.ts';

type Profile = NonNullable<BenchDocument['profile']>;
type Quality = NonNullable<BenchDocument['quality']>;

/** Times of the parts of a step, one row of the table a count. */
export function formatProfile(profile: Profile, bold: Emphasize): readonly string[] {
  const { context, passes, heads = [], prompt = [], propagate = [], host } = profile;
  const counts = [...new Set([...passes.map(({ rows }) => rows), ...prompt.map(({ tokens }) => tokens)])];
  const rows = counts
    .sort((a, b) => a - b)
    .map((count) => {
      const pass = passes.find(({ rows: of }) => of === count);
      return [
        String(count),
        show(pass),
        pass === undefined ? '' : `${quantity((1000 * count) / pass.milliseconds)}`,
        show(heads.find(({ heads: of }) => of === count)),
        show(prompt.find(({ tokens }) => tokens === count)),
        show(propagate.find(({ tokens }) => tokens === count)),
      ];
    });
  const titles = ['count', 'pass of rows', 'rows/s', 'heads', 'pass of a prompt', 'propagate'];
  const [head, ...body] = formatTable(
    [titles, ...rows],
    titles.map(() => 'right' as const),
  );
  return [
    bold('Times of a step') + (context === undefined ? '' : `, ${context} positions behind every row`),
    `  ${bold(head!)}`,
    ...body.map((line) => `  ${line}`),
    ...(host === undefined ? [] : [`  Outside ONNX Runtime a step takes ${duration(host)}.`]),
  ];
}

/** Accuracy against speed, full depth first. */
export function formatQuality({ text, tokens, rows }: Quality, bold: Emphasize): readonly string[] {
  const titles = ['threshold', 'KV policy', 'perplexity', 'agreement', 'loops', 'tokens/s'];
  const cells = rows.map(({ threshold, loop, kvPolicy, perplexity, agreement, meanExit, tokensPerSecond }) => [
    threshold === undefined ? `loop ${loop}` : threshold >= 1 ? 'never' : String(threshold),
    kvPolicy,
    perplexity.toFixed(3),
    percent(agreement),
    meanExit.toFixed(2),
    tokensPerSecond === undefined ? '' : quantity(tokensPerSecond),
  ]);
  const [head, ...body] = formatTable([titles, ...cells], ['left', 'left', 'right', 'right', 'right', 'right']);
  return [
    `${bold('Accuracy against threshold')}, ${tokens.toLocaleString('en-US')} tokens of ${printable(text)}`,
    `  ${bold(head!)}`,
    ...body.map((line) => `  ${line}`),
  ];
}

function show(point: { readonly milliseconds: number } | undefined): string {
  return point === undefined ? '' : duration(point.milliseconds);
}

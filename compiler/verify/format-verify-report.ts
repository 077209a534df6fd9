import type { Difference, OutputReport, VerifyReport } from './verify-report.ts';

/** How many caches are listed one by one; of more, the worst stands for all. */
const listed = 4;

/**
 * What verifying found, for a terminal: who ran what, a table of outputs, the first position that differs, the verdict.
 * @param emphasize shows a text as `good` or `bad`, such as in colour
 */
export function formatVerifyReport(
  { document, differences, against, executedBy }: VerifyReport,
  emphasize: (text: string, as: 'good' | 'bad') => string = (text) => text,
): string {
  const rows = gather(document.outputs).map((output) => ({
    cells: [
      output.name,
      number(output.maxAbs),
      number(output.maxRel),
      number(output.tolerance),
      output.argmaxAgreement === null ? '' : percent(output.argmaxAgreement),
    ],
    ok: output.ok,
  }));
  const titles = ['output', 'max abs', 'max rel', 'allowed rel', 'argmax agrees'];
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map(({ cells }) => cells[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  const table = [
    line(titles).trimEnd(),
    ...rows.map(({ cells, ok }) => `${line(cells)}  ${ok ? emphasize('ok', 'good') : emphasize('DIFFERS', 'bad')}`),
  ];
  const verdict = document.ok
    ? emphasize('Verified: every output is within what is allowed.', 'good')
    : emphasize('Not verified.', 'bad');
  const [first] = differences;
  return [
    against,
    executedBy,
    ...(rows.length > 0 ? ['', ...table] : []),
    ...(first ? ['', describeDifference(first)] : []),
    '',
    verdict,
    '',
  ].join('\n');
}

/** One or two sentences on where an output differs first. */
export function describeDifference({
  output,
  run,
  index,
  axes,
  actual,
  expected,
  allowed,
  shapes,
}: Difference): string {
  if (shapes) {
    return `"${output}" has the shape [${shapes.actual.join(', ')}]; [${shapes.expected.join(', ')}] was expected (${run}).`;
  }
  const at = index.flatMap((i, axis) => (axes[axis] ? [`${axes[axis]} ${i}`] : [])).join(', ');
  const apart = Math.abs(actual - expected);
  const difference = Number.isFinite(apart) ? `, ${number(apart)} apart where ${number(allowed)} is allowed` : '';
  return `"${output}" differs first at ${at}: it is ${actual}, expected ${expected}${difference} (${run}).`;
}

/** Many caches become one line, that of the worst. */
function gather(outputs: readonly OutputReport[]): readonly OutputReport[] {
  return ['present', 'propagated'].reduce(gatherBelow, outputs);
}

function gatherBelow(outputs: readonly OutputReport[], prefix: string): readonly OutputReport[] {
  const isOne = ({ name }: OutputReport) => name.startsWith(`${prefix}.`);
  const caches = outputs.filter(isOne);
  if (caches.length <= listed) return outputs;
  const [worst] = caches.toSorted(
    (a, b) => (b.maxRel ?? Number.POSITIVE_INFINITY) - (a.maxRel ?? Number.POSITIVE_INFINITY),
  );
  const differing = caches.filter(({ ok }) => !ok).length;
  const count = differing > 0 ? `${differing} of ${caches.length} differ` : `all ${caches.length}`;
  return [
    ...outputs.filter((output) => !isOne(output)),
    { ...worst!, name: `${prefix}.* (${count}; worst: ${worst!.name})`, ok: differing === 0 },
  ];
}

function number(x: number | null): string {
  if (x === null) return 'not finite';
  return x === 0 ? '0' : x.toExponential(2);
}

function percent(share: number): string {
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}

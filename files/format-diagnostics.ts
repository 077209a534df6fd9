import type { Diagnostic, Location } from './diagnostics.ts';

/**
 * Diagnostics for a person to read, each with its place, its sentence indented, and the next step:
 *
 * ```
 * error unknown-key  model.json:9:5: recursion.loop
 *   There is no key "loop" in "recursion". Did you mean "loops"?
 * ```
 *
 * Ends with a line feed, or is empty.
 * @param options `color`: with ANSI escapes
 */
export function formatDiagnostics(
  diagnostics: readonly Diagnostic[],
  options: { readonly color?: boolean } = {},
): string {
  const paint = (code: number, text: string) => (options.color === true ? `\u001b[${code}m${text}\u001b[0m` : text);
  return diagnostics
    .map(({ severity, code, location, message, hint }) => {
      const place = location === undefined ? '' : `  ${printable(formatLocation(location))}`;
      const head = `${paint(severityColors[severity], severity)} ${paint(1, code)}${place}`;
      const lines = [
        ...printableLines(message),
        ...(hint === undefined ? [] : printableLines(hint, paint(2, 'hint: '))),
      ];
      return [head, ...lines.map((line) => `  ${line}`)];
    })
    .map((lines) => `${lines.join('\n')}\n`)
    .join('');
}

/** `model.json:9:5: recursion.loop`, as far as it is known. */
export function formatLocation({ file, path, line, column }: Location): string {
  const position = line === undefined ? '' : column === undefined ? `:${line}` : `:${line}:${column}`;
  return path === undefined || path === '' ? `${file}${position}` : `${file}${position}: ${path}`;
}

/** GitHub shows ten annotations of a kind for each step, and drops the rest without a word. */
const annotationLimit = 10;

/**
 * Diagnostics as workflow commands of GitHub Actions, which shows them beside the lines that they are about: at most
 * ten, errors first, and one that says how many more there are.
 */
export function formatAnnotations(diagnostics: readonly Diagnostic[]): string {
  const rank = { error: 0, warning: 1, note: 2 };
  const ordered = diagnostics.toSorted((a, b) => rank[a.severity] - rank[b.severity]);
  const shown = ordered.slice(0, annotationLimit);
  const lines = shown.map(annotation);
  const more = ordered.length - shown.length;
  if (more > 0) lines.push(`::notice title=rtc::There are ${more} more problems; the log has them all.`);
  return lines.map((line) => `${line}\n`).join('');
}

function annotation({ severity, code, location, message, hint }: Diagnostic): string {
  const command = severity === 'note' ? 'notice' : severity;
  const properties = [
    ...(location === undefined ? [] : [`file=${escapeProperty(location.file)}`]),
    ...(location?.line === undefined ? [] : [`line=${location.line}`]),
    ...(location?.column === undefined ? [] : [`col=${location.column}`]),
    `title=${escapeProperty(location?.path ? `${code}: ${location.path}` : code)}`,
  ];
  const text = hint === undefined ? message : `${message}\n${hint}`;
  return `::${command} ${properties.join(',')}::${escapeData(text)}`;
}

/** As @actions/core escapes what follows the last `::`. */
function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

const severityColors = { error: 31, warning: 33, note: 36 } as const;

function printableLines(text: string, lead = ''): readonly string[] {
  return text.split(/\r\n|\r|\n/).map((line, i) => (i === 0 ? lead : '') + printable(line));
}

/** Names come from files; control characters and invisible ones in them must not reach the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}|\p{Cf}/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

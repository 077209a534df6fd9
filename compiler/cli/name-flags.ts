import type { Diagnostic } from '../../files/diagnostics.ts';

/** Options of the library, and the flags that are theirs on the command line. */
const flags = {
  maxRows: '--max-rows',
  maxSequences: '--max-sequences',
  pageBytes: '--page-memory',
  kvPolicy: '--kv-policy',
  rowOrder: '--row-order',
  prefillChunk: '--prefill-chunk',
  exitThreshold: '--exit-threshold',
  exitAt: '--exit-at',
  exitTraces: '--exit-trace',
  meanLoops: '--mean-loops',
} as const;

const names = new RegExp(`(?<![\\w"\\-.])(?:${Object.keys(flags).join('|')})(?![\\w"\\-])`, 'g');

/** What the library says, for whoever typed flags: `maxRows` becomes `--max-rows`. */
export function nameFlags(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const named = (text: string) => text.replaceAll(names, (name) => flags[name as keyof typeof flags]);
  return diagnostics.map(({ message, hint, ...rest }) => ({
    ...rest,
    message: named(message),
    ...(hint === undefined ? {} : { hint: named(hint) }),
  }));
}

import type { Diagnostic } from '../../files/diagnostics.ts';
import { formatAnnotations, formatDiagnostics } from '../../files/format-diagnostics.ts';
import { type ExitCode, exitCodeOf } from './exit-code.ts';
import type { Host } from './host.ts';
import { type ProgressLine, progressLine } from './progress.ts';
import { type Style, styleFor } from './style.ts';

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** What a command works with: where its results go, and everything else. */
export interface CommandContext {
  /** Aborts on Ctrl-C, and when nobody reads stdout any more. */
  readonly signal: AbortSignal;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Colours for what {@link print} gets. */
  readonly style: Style;
  /** Colours for what {@link note} gets. */
  readonly noteStyle: Style;
  /** True where a person reads stdout. */
  readonly terminal: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** To stdout, as it is: results for people. Not to be used with `--json`. */
  readonly print: (text: string) => void;
  /** To stdout, with `--json` and once: the result. `"version": 1` is put in front. */
  readonly printJson: (document: object) => void;
  /** A line to stderr; nothing with `--quiet`. */
  readonly note: (line: string) => void;
  readonly progress: ProgressLine;
  /** Diagnostics to stderr; with `--quiet` only errors. */
  readonly report: (diagnostics: readonly Diagnostic[]) => void;
  /** Ends a command that failed: diagnostics to stderr, and with `--json` to stdout as the result. */
  readonly fail: (diagnostics: readonly Diagnostic[]) => ExitCode;
}

export function commandContext(host: Host, { json = false, quiet = false }: CommonOptions): CommandContext {
  const noteStyle = styleFor(host.stderr, host.env);
  const line = progressLine(host.stderr, noteStyle);
  const progress = quiet ? { show: () => {}, clear: () => {} } : line;
  const printJson = (document: object) => {
    progress.clear();
    host.stdout.write(`${JSON.stringify({ version: 1, ...document })}\n`);
  };
  const report = (diagnostics: readonly Diagnostic[]) => {
    progress.clear();
    const shown = quiet ? diagnostics.filter(({ severity }) => severity === 'error') : diagnostics;
    host.stderr.write(formatDiagnostics(shown, { color: noteStyle.color }));
    if (host.env.GITHUB_ACTIONS === 'true') host.stderr.write(formatAnnotations(shown));
  };
  return {
    signal: host.signal,
    json,
    quiet,
    style: styleFor(host.stdout, host.env),
    noteStyle,
    terminal: host.stdout.isTTY === true,
    env: host.env,
    print: (text) => {
      progress.clear();
      host.stdout.write(text);
    },
    printJson,
    note: (text) => {
      progress.clear();
      if (!quiet) host.stderr.write(`${text}\n`);
    },
    progress,
    report,
    fail: (diagnostics) => {
      report(diagnostics);
      if (json) printJson({ ok: false, diagnostics });
      return exitCodeOf(diagnostics);
    },
  };
}

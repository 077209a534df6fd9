import { CommanderError } from 'commander';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { formatAnnotations, formatDiagnostics } from '../../files/format-diagnostics.ts';
import { rtcVersion } from '../version.ts';
import { bugReport } from './bug-report.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import type { Host } from './host.ts';
import { commandNames, createProgram } from './program.ts';
import { commandStarter } from './start-command.ts';
import { styleFor } from './style.ts';
import { refuseUnknownCommand } from './unknown-command.ts';
import { type UsageError, usageErrorOf } from './usage-error.ts';

/** Runs one command line to its end; the result is the exit code. Never rejects. */
export async function runCommandLine(argv: readonly string[], host: Host): Promise<ExitCode> {
  let code: ExitCode = exitCodes.done;
  let failed: unknown;
  try {
    const start = commandStarter(host, (ended) => {
      code = ended;
    });
    const program = createProgram(rtcVersion(), host, start);
    refuseUnknownCommand(program, argv);
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    failed = error;
  }
  await host.flush();
  const interruption = host.interruption();
  if (interruption?.why === 'failed-output') {
    host.stderr.write(`rtc: its output cannot be written: ${interruption.error.message}\n`);
    return exitCodes.problems;
  }
  // What an interrupted command ran into on its way out is of no interest.
  if (interruption !== undefined && (failed !== undefined || code !== exitCodes.done)) {
    return interruption.why === 'signal' ? exitCodes.interrupted : exitCodes.done;
  }
  return failed === undefined ? code : codeOfError(failed, argv, host);
}

function codeOfError(error: unknown, argv: readonly string[], host: Host): ExitCode {
  if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done;
  // `rtc` alone: commander printed the help to stderr.
  if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.wrongUsage;
  const usage = usageErrorOf(error);
  if (usage) {
    printUsageError(usage, argv, host);
    return exitCodes.wrongUsage;
  }
  printBug(error, argv, host);
  return exitCodes.bug;
}

function printUsageError(error: UsageError, argv: readonly string[], host: Host): void {
  const [command = ''] = argv;
  const help = `"rtc ${commandNames.includes(command) ? `${command} ` : ''}--help" shows what there is.`;
  printError(
    {
      severity: 'error',
      code: 'wrong-usage',
      message: error.message,
      hint: error.hint === undefined ? help : `${error.hint} ${help}`,
    },
    argv,
    host,
  );
}

/** The page of a bug on stderr, and with `--json` a diagnostic on stdout. */
export function printBug(error: unknown, argv: readonly string[], host: Host): void {
  const page = bugReport(error, { version: rtcVersion(), argv, debug: Boolean(host.env.RTC_DEBUG) });
  host.stderr.write(page);
  const message = error instanceof Error ? error.message : String(error);
  if (wantsJson(argv)) printJson({ severity: 'error', code: 'internal-error', message }, host);
}

function printError(diagnostic: Diagnostic, argv: readonly string[], host: Host): void {
  host.stderr.write(formatDiagnostics([diagnostic], { color: styleFor(host.stderr, host.env).color }));
  if (host.env.GITHUB_ACTIONS === 'true') host.stderr.write(formatAnnotations([diagnostic]));
  if (wantsJson(argv)) printJson(diagnostic, host);
}

function printJson(diagnostic: Diagnostic, host: Host): void {
  host.stdout.write(`${JSON.stringify({ version: 1, ok: false, diagnostics: [diagnostic] })}\n`);
}

/** Read off the words, for when the command line as a whole makes no sense. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}

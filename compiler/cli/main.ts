import { exitCodes } from './exit-code.ts';
import { processHost } from './host.ts';
import { printBug, runCommandLine } from './run-command-line.ts';

/** Runs the command line of this process and sets its exit code. Never rejects. */
export async function main(): Promise<void> {
  const host = processHost();
  const argv = process.argv.slice(2);
  const onBug = (error: unknown) => {
    printBug(error, argv, host);
    process.exit(exitCodes.bug);
  };
  process.on('uncaughtException', onBug);
  process.on('unhandledRejection', onBug);
  process.exitCode = await runCommandLine(argv, host);
}

import { runCommandLine } from '../../compiler/cli/run-command-line.ts';

/** What a command line came to. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process; it sees the environment that is given, and no terminal. */
export async function runHere(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Ended> {
  const written = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      written[name] += text;
    },
  });
  const exitCode = await runCommandLine(argv, {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    env,
    signal,
    interruption: () => (signal.aborted ? { why: 'signal' } : undefined),
    flush: async () => {},
  });
  return { exitCode, ...written };
}

import { expect } from 'vitest';
import { createProgram } from '../../compiler/cli/program.ts';
import { usageErrorOf } from '../../compiler/cli/usage-error.ts';

/** Lines of a text that call rtc, with `npx` or after a `$`, without that; a backslash at the end goes on. */
export function rtcCommandLines(text: string): readonly string[] {
  return text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .flatMap(
      (line) =>
        /^\s*(?:\$ )?(?:npx )?rtc ((?:compile|verify|bench|cache|inspect|simulate|run|serve) .*)$/.exec(line)?.[1] ??
        [],
    );
}

/** Expects that rtc understands a command line; nothing is run. */
export async function acceptCommandLine(line: string): Promise<void> {
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
  let started = 0;
  const host = {
    stdout: { write: () => {} },
    stderr: { write: () => {} },
    env: {},
    signal: new AbortController().signal,
    interruption: () => undefined,
    flush: async () => {},
  };
  const program = createProgram('0.0.0', host, async () => {
    started += 1;
  });
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    expect.fail(`rtc ${line}: ${usageErrorOf(error)?.message ?? String(error)}`);
  }
  expect([line, started]).toEqual([line, 1]);
}

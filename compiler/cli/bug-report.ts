import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Circumstances {
  readonly version: string;
  readonly argv: readonly string[];
  /** Adds the stack. */
  readonly debug: boolean;
}

/** The page that a user sees when rtc itself is wrong: whose fault it is, and what to send. */
export function bugReport(error: unknown, { version, argv, debug }: Circumstances): string {
  const { message, stack, reproducer } = describe(error);
  const lines = [
    `rtc broke: ${message}`,
    '',
    'This is a bug in rtc, not in what you gave it. Please report it, with these lines:',
    '',
    `  rtc ${version}, Node ${process.version}, ${process.platform} ${process.arch}`,
    `  rtc ${argv.map(quote).join(' ')}`,
    ...(reproducer === undefined ? [] : ['', `A small file shows the same: ${reproducer}`, 'Please send it along.']),
    ...(debug && stack !== undefined ? ['', stack] : ['', 'With RTC_DEBUG=1 in the environment it says where.']),
  ];
  return `${lines.join('\n')}\n`;
}

function describe(error: unknown): { message: string; stack: string | undefined; reproducer: string | undefined } {
  if (!(error instanceof Error)) return { message: String(error), stack: undefined, reproducer: undefined };
  const text = 'reproducer' in error && typeof error.reproducer === 'string' ? error.reproducer : undefined;
  return { message: error.message, stack: error.stack, reproducer: text === undefined ? undefined : keep(text) };
}

/** Writes a reproducer where the user will find it, or at least somewhere; its path, or undefined. */
function keep(reproducer: string): string | undefined {
  for (const folder of ['.', tmpdir()]) {
    const file = join(folder, 'rtc-broken.rtc');
    try {
      writeFileSync(file, reproducer);
      return file;
    } catch {
      // The next folder may be writable.
    }
  }
  return undefined;
}

function quote(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

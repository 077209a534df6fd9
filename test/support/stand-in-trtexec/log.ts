import { writeSync } from 'node:fs';

/** Severities as trtexec tags them: information goes to stdout, warnings and errors to stderr. */
export type Severity = 'I' | 'W' | 'E' | 'F';

/** Where a log goes, and as which version it is written. */
export interface Log {
  /** A line with a date and a tag. A text of several lines has both in front of the first only, as in trtexec. */
  readonly say: (severity: Severity, text: string) => void;
  /** The same, said by the library: with `[TRT] `. */
  readonly library: (severity: Severity, text: string) => void;
  /** `&&&& PASSED …`. */
  readonly banner: (state: 'RUNNING' | 'PASSED' | 'FAILED') => void;
  /** Bytes as they are, without a date. */
  readonly raw: (fd: 1 | 2, bytes: string | Uint8Array) => void;
}

/** @param numbers major, minor, patch */
export function openLog(numbers: readonly [number, number, number], argv: readonly string[]): Log {
  const [major, minor, patch] = numbers;
  // 8.6.1 is v8601; from 10.0 on two digits each. Builds are named from 10.1 on.
  const number = major < 10 ? major * 1000 + minor * 100 + patch : major * 10_000 + minor * 100 + patch;
  const build = major > 10 || (major === 10 && minor > 0) ? ' [b106]' : '';
  const raw = (fd: 1 | 2, bytes: string | Uint8Array) => {
    let rest = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
  };
  const say = (severity: Severity, text: string) => {
    raw(severity === 'I' ? 1 : 2, `[${stamp(new Date())}] [${severity}] ${text}\n`);
  };
  return {
    say,
    library: (severity, text) => say(severity, `[TRT] ${text}`),
    banner: (state) => raw(1, `&&&& ${state} TensorRT.trtexec [TensorRT v${number}]${build} # ${argv.join(' ')}\n`),
    raw,
  };
}

function stamp(now: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const date = `${two(now.getMonth() + 1)}/${two(now.getDate())}/${now.getFullYear()}`;
  return `${date}-${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}

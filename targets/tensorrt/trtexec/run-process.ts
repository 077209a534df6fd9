import { performance } from 'node:perf_hooks';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { guardProcessGroup } from './guard-process-group.ts';
import type { LogFile } from './log-file.ts';
import { splitLines } from './split-lines.ts';

/** How a program is run. */
export interface ProcessOptions {
  /** The current folder by default. */
  readonly cwd?: string | undefined;
  /** The whole environment; this process' own by default. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What it has to end by itself once it is asked to, before it is killed; 5 seconds by default. */
  readonly graceMs?: number | undefined;
  /** How long its output is waited for once it has ended: another process may hold it. 2 seconds by default. */
  readonly drainMs?: number | undefined;
  /** Hears of every line, in the order of its stream; of long ones the beginning. */
  readonly onLine?: ((stream: 'stdout' | 'stderr', line: string) => void) | undefined;
  readonly log?: LogFile | undefined;
}

/** How a program ended. */
export type ProcessEnd =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signaled'; readonly signal: NodeJS.Signals }
  /** It was ended because its time was over, or because the caller's signal said so; all that it started, too. */
  | { readonly kind: 'timeout' | 'aborted' }
  /** The system would not start it. */
  | { readonly kind: 'not-started'; readonly code: string; readonly message: string };

const windows = process.platform === 'win32';

/** What setTimeout takes: beyond, it would fire at once. */
const longestTimer = 2 ** 31 - 1;

/**
 * Runs a program to its end, in a process group of its own, with nothing on its stdin. The whole group is gone when this
 * resolves, however it ended: it is asked to end (SIGTERM), then killed. No line is kept. Never rejects.
 */
export async function runProcess(
  path: string,
  args: readonly string[],
  options: ProcessOptions,
): Promise<{ readonly end: ProcessEnd; readonly seconds: number }> {
  const { signal, timeoutMs, graceMs = 5000, drainMs = 2000 } = options;
  const begin = performance.now();
  const seconds = () => (performance.now() - begin) / 1000;
  if (signal?.aborted) return { end: { kind: 'aborted' }, seconds: 0 };
  const child = execa(path, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env, extendEnv: false }),
    stdin: 'ignore',
    buffer: false,
    reject: false,
    // A group of its own can be ended as a whole; it also keeps the terminal's Ctrl-C for us, who then end it.
    detached: !windows,
    cleanup: false,
    windowsHide: true,
  });
  const { pid } = child;
  if (pid === undefined) {
    const { code = 'unknown', originalMessage = '' } = await child;
    return { end: { kind: 'not-started', code, message: originalMessage }, seconds: seconds() };
  }
  const kill = (how: 'SIGTERM' | 'SIGKILL') => {
    try {
      if (windows) child.kill(how);
      else process.kill(-pid, how);
    } catch {
      // Nobody is left in the group.
    }
  };

  let ended: 'timeout' | 'aborted' | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const endGroup = (why: 'timeout' | 'aborted') => {
    if (ended !== undefined) return;
    ended = why;
    kill('SIGTERM');
    killTimer = setTimeout(() => kill('SIGKILL'), graceMs);
  };
  const onAbort = () => endGroup('aborted');
  signal?.addEventListener('abort', onAbort);
  const timer =
    timeoutMs === undefined ? undefined : setTimeout(() => endGroup('timeout'), Math.min(timeoutMs, longestTimer));
  const unguard = guardProcessGroup(() => kill('SIGKILL'));
  const reading = Promise.all([read('stdout', child.stdout, options), read('stderr', child.stderr, options)]);
  const end = await new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code: number | null, by: NodeJS.Signals | null) => {
      resolve(by === null ? { kind: 'exited', code: code ?? 0 } : { kind: 'signaled', signal: by });
    });
  });
  clearTimeout(timer);
  clearTimeout(killTimer);
  signal?.removeEventListener('abort', onAbort);
  // What it started and left behind: with it, its output ends.
  kill('SIGKILL');
  unguard();
  const took = seconds();
  const drained = new AbortController();
  // Who left the group and holds the output is waited for no longer.
  const late = sleep(drainMs, undefined, { signal: drained.signal }).then(
    () => {
      child.stdout.destroy();
      child.stderr.destroy();
    },
    () => {},
  );
  await reading;
  drained.abort();
  await late;
  return { end: ended === undefined ? end : { kind: ended }, seconds: took };
}

async function read(name: 'stdout' | 'stderr', stream: Readable, { onLine, log }: ProcessOptions): Promise<void> {
  const lines = splitLines((line) => onLine?.(name, line));
  const file = log?.stream();
  try {
    for await (const chunk of stream) {
      lines.push(chunk as Uint8Array);
      await file?.write(chunk as Uint8Array);
    }
  } catch {
    // Destroyed above: what came until then counts.
  }
  lines.end();
  await file?.end();
}

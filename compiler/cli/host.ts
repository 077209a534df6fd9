/** What a command line sees of its process. */
export interface Host {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** How the command was stopped from outside, if it was. */
  readonly interruption: () => Interruption | undefined;
  /** Waits until stdout is written: only then is it known whether it could be. */
  readonly flush: () => Promise<void>;
}

export interface OutputStream {
  readonly isTTY?: boolean;
  readonly write: (text: string) => unknown;
}

/** Why a command was stopped from outside: Ctrl-C, a reader that went away, or output that cannot be written. */
export type Interruption =
  | { readonly why: 'signal' }
  | { readonly why: 'closed-output' }
  | { readonly why: 'failed-output'; readonly error: Error };

/**
 * Hooks into the process: the first SIGINT or SIGTERM aborts the signal, so that a command can put away what it has
 * begun, and a second one ends the process at once. A reader that goes away (`| head`) ends the command too, without
 * a word.
 */
export function processHost(): Host {
  const abort = new AbortController();
  let interruption: Interruption | undefined;
  const interrupt = (why: Interruption) => {
    interruption ??= why;
    abort.abort();
  };
  const onSignal = () => {
    if (interruption?.why === 'signal') process.exit(130);
    interrupt({ why: 'signal' });
  };
  const onError = (error: NodeJS.ErrnoException) => {
    const closed = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED';
    interrupt(closed ? { why: 'closed-output' } : { why: 'failed-output', error });
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.stdout.on('error', onError);
  process.stderr.on('error', onError);
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: abort.signal,
    interruption: () => interruption,
    flush: () => new Promise((resolve) => process.stdout.write('', () => setImmediate(resolve))),
  };
}

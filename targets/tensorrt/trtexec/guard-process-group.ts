/** Signals that end a program whose author said nothing else about them. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Marks our own listeners, of all runs at once. */
const ours = Symbol('guards a process group');

/**
 * Sees to it that a process group does not outlive this process: `kill` is called when this process exits, also by a
 * signal that nobody else listens to, which then takes its usual effect.
 * @returns takes all listeners away again
 */
export function guardProcessGroup(kill: () => void): () => void {
  const listener = Object.assign(
    (signal: NodeJS.Signals) => {
      // Somebody else decides what the signal means; should the process end, `exit` comes.
      if (!process.listeners(signal).every((other) => ours in other)) return;
      kill();
      process.off(signal, listener);
      process.kill(process.pid, signal);
    },
    { [ours]: true },
  );
  process.once('exit', kill);
  for (const signal of endings) process.on(signal, listener);
  return () => {
    process.off('exit', kill);
    for (const signal of endings) process.off(signal, listener);
  };
}

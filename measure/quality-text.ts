import type { Core, TokenEvent } from '../runtime/depth-batched/core.ts';
import type { ExitRule } from '../runtime/depth-batched/request.ts';

/** What a model said to each token of a text but the first of every window, window by window. */
export interface TextScores {
  /** What it would have chosen. */
  readonly choices: readonly (readonly number[])[];
  /** Behind which loop. */
  readonly exits: readonly (readonly number[])[];
  /** Natural logarithm of the probability it gave the text's own token. */
  readonly logProbabilities: readonly (readonly number[])[];
}

/**
 * Cuts a text into windows of `length` tokens that share none; what is left over at the end is not used. A text that is
 * shorter than that is one window.
 */
export function textWindows(tokens: readonly number[], length: number): readonly (readonly number[])[] {
  if (tokens.length < length) return [tokens];
  return Array.from({ length: Math.floor(tokens.length / length) }, (_, i) =>
    tokens.slice(i * length, (i + 1) * length),
  );
}

/**
 * Reads a text as if it had been generated: the first token of a window is its prompt, every other one runs as a new
 * token does, leaves by the rule, and has its keys and values by the core's policy. Windows are sequences of a batch.
 * Throws what a refused window says: the caller made sure that it fits.
 * @param core fresh
 * @param windows at least two tokens each
 */
export async function scoreText(
  core: Core,
  windows: readonly (readonly number[])[],
  exit: ExitRule,
  signal?: AbortSignal,
): Promise<TextScores> {
  const events = windows.map((): TokenEvent[] => []);
  windows.forEach((window, i) => {
    const taken = core.submit(i, {
      prompt: window.slice(0, 1),
      forced: window.slice(1),
      maxNewTokens: window.length - 1,
      ignoreEos: true,
      exit,
    });
    if (!taken.ok) throw new Error(taken.diagnostics.map(({ message }) => message).join(' '));
  });
  for (let report = await core.step(); report !== undefined; report = await core.step()) {
    signal?.throwIfAborted();
    for (const event of report.tokens) events[event.request]!.push(event);
  }
  return {
    choices: events.map((list) => list.map(({ token }) => token)),
    exits: events.map((list) => list.map((event) => event.exit)),
    logProbabilities: events.map((list) => list.map(({ forcedLogProbability }) => forcedLogProbability!)),
  };
}

import type { RunningRequest } from '../runtime/engine.ts';
import type { TextTokenizer } from '../runtime/tokenizer.ts';
import type { ChoicePlan } from './plan.ts';
import { watchForStops } from './stop-strings.ts';

/** New text of a choice, and the tokens that came since the last. */
export interface ChoicePart {
  readonly index: number;
  readonly text: string;
  readonly tokens: readonly number[];
  /** Loop behind which each of `tokens` was chosen. */
  readonly exits: readonly number[];
  /** Set with the last part. */
  readonly end?: ChoiceEnd;
}

/** How a text ended. */
export interface ChoiceEnd {
  readonly reason: 'stop' | 'length';
  /** Loops that its tokens ran on average; undefined without tokens. */
  readonly meanLoops: number | undefined;
}

/** Why a text came to no end: the engine cancelled it, and the server did not ask for that. */
export class EngineStopped extends Error {
  override readonly name = 'EngineStopped';
}

/**
 * Turns the tokens of a running request to text, up to a stop string. Parts come when there is text to show; the last
 * one may have none. Ends without a last part when it is aborted. Leaving this early cancels the request.
 * @param signal whoever aborts it also cancels the request, so that its next token is not waited for
 */
export async function* choiceParts(
  { index, prompt, echo }: ChoicePlan,
  running: RunningRequest,
  tokenizer: TextTokenizer | undefined,
  stops: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<ChoicePart, void, void> {
  const stream = tokenizer?.stream(prompt);
  const watcher = watchForStops(stops);
  let pending = { text: echo, tokens: [] as number[], exits: [] as number[] };
  let loops = 0;
  let made = 0;
  const take = (): ChoicePart => {
    const part = { index, ...pending };
    pending = { text: '', tokens: [], exits: [] };
    return part;
  };
  if (signal.aborted) return;
  for await (const { token, exit, finished } of running) {
    if (signal.aborted) return;
    pending.tokens.push(token);
    pending.exits.push(exit);
    loops += exit;
    made++;
    let { text, stopped } = watcher.push(stream?.push(token) ?? '');
    pending.text += text;
    if (finished !== undefined && !stopped) {
      ({ text, stopped } = watcher.push(stream?.end() ?? ''));
      pending.text += text + (stopped ? '' : watcher.end());
    }
    if (finished === 'cancelled') break;
    if (stopped || finished !== undefined) {
      // Before a client that reads slowly takes what was made.
      running.cancel();
      yield { ...take(), end: { reason: stopped ? 'stop' : finished!, meanLoops: loops / made } };
      return;
    }
    if (pending.text !== '' || tokenizer === undefined) yield take();
  }
  if (!signal.aborted) throw new EngineStopped('The engine ended the request.');
}

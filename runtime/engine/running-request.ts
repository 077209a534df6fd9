import type { TokenEvent } from '../depth-batched/core.ts';
import type { FinishReason } from '../depth-batched/request.ts';
import type { RuntimeFailure } from '../session.ts';

/** A request on its way. Iterate over it for its tokens as they come. */
export interface RunningRequest extends AsyncIterable<TokenEvent> {
  readonly id: number;
  /**
   * All new tokens with their exits, once it has ended. Rejects with a RuntimeFailure when the engine failed; nobody has
   * to listen for that.
   */
  readonly done: Promise<FinishedRequest>;
  /** Ends it before the next step; what it has until then stays. Nothing when it has ended. */
  readonly cancel: () => void;
  /**
   * Tokens from the first on, however late one begins; they wait in memory, a slow reader stops nobody. Ends with the
   * last token, also of a cancelled request, and throws a RuntimeFailure when the engine failed. Leaving a loop over it
   * early cancels the request.
   */
  readonly [Symbol.asyncIterator]: () => AsyncIterator<TokenEvent, undefined>;
}

/** What came of a request. */
export interface FinishedRequest {
  readonly tokens: readonly number[];
  /** For each token the loop, from 1, behind which it was chosen. */
  readonly exits: readonly number[];
  readonly finished: FinishReason;
}

/** A request with the other end of its tokens. What comes after its end is ignored. */
export interface RequestFeed {
  readonly request: RunningRequest;
  /** Ends it as well, when the token is its last. */
  readonly push: (token: TokenEvent) => void;
  readonly end: (finished: FinishReason) => void;
  readonly fail: (failure: RuntimeFailure) => void;
}

/** @param cancel called each time somebody asks for its end while it runs */
export function requestFeed(id: number, cancel: () => void): RequestFeed {
  const tokens: TokenEvent[] = [];
  let ended = false;
  let failure: RuntimeFailure | undefined;
  let waiting: (() => void)[] = [];
  let resolve: (finished: FinishedRequest) => void;
  let reject: (failure: RuntimeFailure) => void;
  const done = new Promise<FinishedRequest>((...both) => {
    [resolve, reject] = both;
  });
  // Who iterates hears of a failure there.
  done.catch(() => {});

  const wake = () => {
    const readers = waiting;
    waiting = [];
    for (const reader of readers) reader();
  };
  const end = (finished: FinishReason) => {
    if (ended) return;
    ended = true;
    resolve({ tokens: tokens.map(({ token }) => token), exits: tokens.map(({ exit }) => exit), finished });
    wake();
  };
  const cancelRunning = () => {
    if (!ended) cancel();
  };
  const iterate = (): AsyncIterator<TokenEvent, undefined> => {
    let next = 0;
    let left = false;
    return {
      next: async () => {
        while (!left && !ended && next >= tokens.length) {
          await new Promise<void>((resume) => waiting.push(resume));
        }
        if (!left && next < tokens.length) return { done: false, value: tokens[next++]! };
        if (!left && failure !== undefined) {
          left = true;
          throw failure;
        }
        return { done: true, value: undefined };
      },
      return: async () => {
        left = true;
        cancelRunning();
        wake();
        return { done: true, value: undefined };
      },
    };
  };
  return {
    request: { id, done, cancel: cancelRunning, [Symbol.asyncIterator]: iterate },
    push: (token) => {
      if (ended) return;
      tokens.push(token);
      if (token.finished === undefined) wake();
      else end(token.finished);
    },
    end,
    fail: (why) => {
      if (ended) return;
      ended = true;
      failure = why;
      reject(why);
      wake();
    },
  };
}

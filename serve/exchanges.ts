import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Endpoint, Outcome, RequestReport } from './server-options.ts';

/** Why the server gave an answer up half way. */
export type AbortReason = Extract<Outcome, 'disconnected' | 'timed-out' | 'stopped'>;

/** A request for text and its answer, from the first byte of the one to the last byte of the other. */
export interface Exchange {
  readonly endpoint: Endpoint;
  /** Aborts with an {@link AbortReason}. */
  readonly signal: AbortSignal;
  /** Takes room for so many sequences until the exchange ends; false when there is not as much. */
  readonly reserve: (sequences: number) => boolean;
  readonly promptTokens: (tokens: number) => void;
  /** Loops behind which new tokens were chosen. */
  readonly newTokens: (exits: readonly number[]) => void;
  /** How it ends, unless it is aborted. */
  readonly settle: (outcome: Exclude<Outcome, AbortReason>) => void;
}

/** Every exchange that is under way, and the limits that they share. */
export interface Exchanges {
  /** Undefined when there are too many. */
  readonly begin: (endpoint: Endpoint, response: ServerResponse) => Exchange | undefined;
  readonly active: () => number;
  readonly abortAll: (reason: AbortReason) => void;
  /** Resolves when none is left. */
  readonly ended: () => Promise<void>;
}

export interface ExchangeOptions {
  /** Sequences of all exchanges together, and exchanges, at most. */
  readonly room: number;
  /** Milliseconds that an exchange may take. */
  readonly requestTime: number;
  readonly onFirstToken: (endpoint: Endpoint, seconds: number) => void;
  readonly onEnded: (report: RequestReport) => void;
}

/** How long an answer that was given up may take to say so, in milliseconds; then its connection is cut. */
const lastWords = 1000;

export function exchanges({ room, requestTime, onFirstToken, onEnded }: ExchangeOptions): Exchanges {
  let sequences = 0;
  const active = new Set<{ readonly abort: (reason: AbortReason) => void }>();
  const waiting: (() => void)[] = [];
  // One listener a socket, whatever number of requests a client sends ahead; the answer of such a request has no
  // connection yet, and would not hear of its end.
  const bySocket = new WeakMap<Socket, Set<() => void>>();

  const onSocketClose = (socket: Socket, ended: () => void): (() => void) => {
    const listeners = bySocket.get(socket) ?? new Set();
    if (!bySocket.has(socket)) {
      bySocket.set(socket, listeners);
      socket.once('close', () => {
        for (const listener of [...listeners]) listener();
      });
    }
    listeners.add(ended);
    return () => listeners.delete(ended);
  };

  return {
    begin: (endpoint, response) => {
      if (active.size >= room) return undefined;
      const started = performance.now();
      const seconds = () => (performance.now() - started) / 1000;
      const abort = new AbortController();
      let newTokens = 0;
      let loops = 0;
      let promptTokens = 0;
      let reserved = 0;
      let outcome: Outcome | undefined;
      let cut: NodeJS.Timeout | undefined;
      const entry = {
        abort: (reason: AbortReason) => {
          if (abort.signal.aborted || !active.has(entry)) return;
          outcome = reason;
          abort.abort(reason);
          if (reason !== 'disconnected') cut = setTimeout(() => response.destroy(), lastWords);
        },
      };
      active.add(entry);
      const deadline = setTimeout(() => entry.abort('timed-out'), requestTime);
      const end = () => {
        if (!active.has(entry)) return;
        if (!response.writableFinished) entry.abort('disconnected');
        active.delete(entry);
        sequences -= reserved;
        clearTimeout(deadline);
        clearTimeout(cut);
        forget();
        onEnded({
          endpoint,
          outcome: outcome ?? 'ok',
          promptTokens,
          newTokens,
          meanLoops: newTokens === 0 ? undefined : loops / newTokens,
          seconds: seconds(),
        });
        if (active.size === 0) for (const resolve of waiting.splice(0)) resolve();
      };
      const forget = response.req.socket ? onSocketClose(response.req.socket, end) : () => {};
      response.once('close', end);
      return {
        endpoint,
        signal: abort.signal,
        reserve: (more) => {
          if (sequences + more > room) return false;
          sequences += more;
          reserved += more;
          return true;
        },
        promptTokens: (tokens) => {
          promptTokens += tokens;
        },
        newTokens: (exits) => {
          if (newTokens === 0 && exits.length > 0) onFirstToken(endpoint, seconds());
          newTokens += exits.length;
          for (const exit of exits) loops += exit;
        },
        settle: (how) => {
          outcome ??= how;
        },
      };
    },
    active: () => active.size,
    abortAll: (reason) => {
      for (const { abort } of [...active]) abort(reason);
    },
    ended: () => (active.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}

import type { ExitRule } from '../runtime/depth-batched/request.ts';
import type { ChatTemplate } from './chat-template.ts';

/** How a server behaves. Times are milliseconds. */
export interface ServerOptions {
  /** Undefined: no `/v1/chat/completions`. */
  readonly chatTemplate?: ChatTemplate | undefined;
  /** Where tokens of requests that say nothing of it leave; by default by the model's own threshold. */
  readonly exit?: ExitRule | undefined;
  /** Sequences that may wait for their turn; more are refused with 429. By default 128. */
  readonly maxQueue?: number;
  /** Bytes of a request's body at most; by default 1 MiB. */
  readonly maxBody?: number;
  /** From a request's first byte to the last of its answer; then it is cancelled. By default 10 minutes. */
  readonly requestTime?: number;
  /** For a client to send its headers, and as long again for the body; by default 20 seconds. */
  readonly receiveTime?: number;
  /** For a client that reads nothing while its answer waits to be sent; by default 30 seconds. */
  readonly stallTime?: number;
  /** How long a connection without a request is kept; by default 30 seconds. */
  readonly idleTime?: number;
  /** Open connections at most; more are closed at once. By default 1024, and room for all requests. */
  readonly maxConnections?: number;
  /**
   * Answers only requests that name this machine in their Host header: without it a web page could reach a server on
   * loopback through a name that it makes resolve to 127.0.0.1. By default true.
   */
  readonly loopbackOnly?: boolean;
  /** Hears of every request for a completion that has ended. */
  readonly onEnded?: (report: RequestReport) => void;
  /** Hears of what went wrong without the client being to blame: a RuntimeFailure, or a bug. */
  readonly onFailure?: (error: unknown) => void;
}

/** How a request ended: `disconnected` and `timed-out` were cancelled half way, `stopped` when the server ended. */
export type Outcome = 'ok' | 'refused' | 'overloaded' | 'disconnected' | 'timed-out' | 'stopped' | 'failed';

/** A request that has ended. */
export interface RequestReport {
  readonly endpoint: Endpoint;
  readonly outcome: Outcome;
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Loops a new token ran on average; undefined without new tokens. */
  readonly meanLoops: number | undefined;
  readonly seconds: number;
}

/** What is limited, measured and counted: requests that make text. */
export type Endpoint = 'completions' | 'chat';

/** Options with their defaults, for an engine that holds `maxSequences` sequences. */
export function withDefaults(options: ServerOptions, maxSequences: number): Required<ServerOptions> {
  const maxQueue = options.maxQueue ?? 128;
  return {
    chatTemplate: options.chatTemplate,
    exit: options.exit,
    maxQueue,
    maxBody: options.maxBody ?? 2 ** 20,
    requestTime: options.requestTime ?? 600_000,
    receiveTime: options.receiveTime ?? 20_000,
    stallTime: options.stallTime ?? 30_000,
    idleTime: options.idleTime ?? 30_000,
    maxConnections: options.maxConnections ?? Math.max(1024, 2 * (maxSequences + maxQueue)),
    loopbackOnly: options.loopbackOnly ?? true,
    onEnded: options.onEnded ?? (() => {}),
    onFailure: options.onFailure ?? (() => {}),
  };
}

import type { Diagnostic } from '../files/diagnostics.ts';
import type { RuntimeFailure } from '../runtime/session.ts';

/** One thing that is wrong with a request, in the words of OpenAI's errors. */
export interface Problem {
  /** One sentence or two, ending with a full stop. */
  readonly message: string;
  /** The parameter that is to blame: `prompt`, `messages[0].content`. */
  readonly param?: string;
  readonly code?: string;
}

/** A request that is not served, and why: all problems at once. */
export interface Refusal {
  readonly status: 400 | 403 | 404 | 405 | 408 | 413 | 415 | 429 | 431 | 500 | 503 | 504;
  readonly problems: readonly [Problem, ...Problem[]];
  /** Headers that belong to the status: `Retry-After`, `Allow`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A value, or the refusal of the request that it was to be made of. */
export type Served<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

export function served<T>(value: T): Served<T> {
  return { ok: true, value };
}

export function refused(refusal: Refusal): Served<never> {
  return { ok: false, refusal };
}

/** Parameters that make no sense: status 400. */
export function badRequest(...problems: [Problem, ...Problem[]]): Refusal {
  return { status: 400, problems };
}

/** What the runtime says of a request that it could never serve. */
export function badRequestOf(diagnostics: readonly Diagnostic[]): Refusal {
  const [first, ...others] = diagnostics
    .filter(({ severity }) => severity === 'error')
    .map(({ message, hint, code }) => ({
      message: hint === undefined ? message : `${message} ${hint}`,
      code: code.replaceAll('-', '_'),
    }));
  return badRequest(first ?? { message: 'The request cannot be served.' }, ...others);
}

/** The engine is broken. */
export function refusalOfFailure({ diagnostic: { message } }: RuntimeFailure): Refusal {
  return { status: 503, problems: [{ message, code: 'runtime_failed' }] };
}

/** Try again in a moment: status 429, as often as the queue is full. */
export function overloaded(message: string): Refusal {
  return { status: 429, problems: [{ message, code: 'queue_full' }], headers: { 'retry-after': '1' } };
}

/** The server is about to end. */
export const stopping: Refusal = {
  status: 503,
  problems: [{ message: 'The server is shutting down.', code: 'shutting_down' }],
};

/**
 * The document of a refusal: `{"error": {message, type, param, code}}`, as OpenAI has it. Where several things are
 * wrong, `message` has all their sentences, and `problems`, which clients ignore, has them one by one.
 */
export function errorDocument({ status, problems }: Refusal): object {
  const [{ param = null, code = null }] = problems;
  const type = status === 429 ? 'rate_limit_error' : status >= 500 ? 'server_error' : 'invalid_request_error';
  return {
    error: {
      message: problems.map(({ message }) => message).join(' '),
      type,
      param,
      code,
      ...(problems.length > 1 ? { problems } : {}),
    },
  };
}

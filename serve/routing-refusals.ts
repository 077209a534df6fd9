import type { FastifyInstance, FastifyRequest, HTTPMethods } from 'fastify';
import { RuntimeFailure } from '../runtime/session.ts';
import { badRequest, type Refusal, refusalOfFailure } from './refusal.ts';

/** A request for something that is not there. */
export function unknownUrl(app: FastifyInstance, { method, url }: FastifyRequest): Refusal {
  const [path = ''] = url.split('?');
  const allowed = (['GET', 'POST'] satisfies HTTPMethods[]).filter((other) =>
    app.hasRoute({ method: other, url: path }),
  );
  if (allowed.length > 0) {
    const message = `${path} does not take ${method}, but ${allowed.join(' and ')}.`;
    return {
      status: 405,
      problems: [{ message, code: 'method_not_supported' }],
      headers: { allow: allowed.join(', ') },
    };
  }
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  const message =
    `Unknown request URL: ${method} ${shown}. There are POST /v1/completions, POST /v1/chat/completions, ` +
    'GET /v1/models, GET /health and GET /metrics.';
  return { status: 404, problems: [{ message, code: 'unknown_url' }] };
}

/** What Fastify found wrong before a handler saw the request, or what a handler threw. */
export function refusalOfError(error: unknown, maxBody: number): Refusal {
  if (error instanceof RuntimeFailure) return refusalOfFailure(error);
  const { code, message, statusCode } = error as { code?: string; message?: string; statusCode?: number };
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return {
        status: 413,
        problems: [
          { message: `The body is larger than the ${maxBody} bytes that are allowed.`, code: 'body_too_large' },
        ],
      };
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return {
        status: 415,
        problems: [{ message: 'The body has to be JSON: send "Content-Type: application/json".', code: 'not_json' }],
      };
    case 'FST_ERR_BAD_URL':
      return badRequest({ message: 'The URL is not encoded as URLs are.', code: 'bad_url' });
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return badRequest({ message: 'The body is empty; a JSON object was expected.', code: 'invalid_json' });
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return badRequest({ message: `The body is not JSON: ${message}.`, code: 'invalid_json' });
    default:
      if (error instanceof SyntaxError) {
        return badRequest({ message: `The body is not JSON: ${message}.`, code: 'invalid_json' });
      }
      if (statusCode !== undefined && statusCode < 500) return badRequest({ message: `${message}` });
      return { status: 500, problems: [{ message: 'The server failed; its log says why.', code: 'internal_error' }] };
  }
}

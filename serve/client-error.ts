import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { errorDocument, type Refusal } from './refusal.ts';

/** Answers what never became a request: half of one, one that came too slowly, or no HTTP at all. */
export function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  // Where an answer was begun nothing can be put in between.
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const { status, problems } = refusalOf(error.code);
  const body = JSON.stringify(errorDocument({ status, problems }));
  socket.write(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  socket.destroySoon();
}

function refusalOf(code: string | undefined): Refusal {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, problems: [{ message: 'The request did not arrive in time.', code: 'request_timeout' }] };
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, problems: [{ message: 'The headers are too large.', code: 'headers_too_large' }] };
    default:
      return { status: 400, problems: [{ message: 'This is no HTTP request.', code: 'bad_http' }] };
  }
}

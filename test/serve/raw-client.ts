import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A connection without a client that knows HTTP. */
export interface RawClient {
  readonly socket: Socket;
  readonly send: (text: string) => void;
  /** Everything that came so far. */
  readonly received: () => string;
  /** Resolves when the server has closed the connection, with milliseconds since it was opened. */
  readonly closed: Promise<number>;
}

export async function rawClient(port: number): Promise<RawClient> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => {
    socket.destroy();
  });
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (data) => {
    text += data;
  });
  // A server that hangs up is what some tests are after.
  socket.on('error', () => {});
  const opened = performance.now();
  const closed = new Promise<number>((resolve) => socket.once('close', () => resolve(performance.now() - opened)));
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, send: (data) => socket.write(data), received: () => text, closed };
}

/** A request for a completion as it goes over the wire. */
export function rawPost(body: object, headers: readonly string[] = []): string {
  const json = JSON.stringify(body);
  const lines = ['POST /v1/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json', ...headers];
  return `${lines.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;
}

import type { ServerResponse } from 'node:http';

/** An answer of server-sent events. */
export interface EventStream {
  /** Sends a document; resolves when the client has room for more, or is gone. */
  readonly send: (document: object) => Promise<void>;
  /** Sends `[DONE]`, where `done`, and ends the answer. */
  readonly end: (done: boolean) => void;
}

/**
 * Starts an answer of server-sent events. What the client does not read waits in one buffer of fixed size; a client that
 * reads nothing for `stallTime` milliseconds while its buffer is full loses its connection.
 */
export function eventStream(
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
  stallTime: number,
): EventStream {
  response.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    // nginx holds answers back otherwise.
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  // Choices of one request share the connection, and so the wait.
  let room: Promise<void> | undefined;
  const write = (data: string) => {
    if (response.destroyed || response.writableEnded) return;
    if (response.write(`data: ${data}\n\n`)) return;
    room ??= roomIn(response, stallTime).finally(() => {
      room = undefined;
    });
  };
  return {
    send: async (document) => {
      // What is sent while there is no room would pile up.
      while (room !== undefined) await room;
      write(JSON.stringify(document));
      await room;
    },
    end: (done) => {
      if (done) write('[DONE]');
      response.end();
    },
  };
}

function roomIn(response: ServerResponse, stallTime: number): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      clearTimeout(timer);
      response.off('drain', settle);
      response.off('close', settle);
      resolve();
    };
    const timer = setTimeout(() => {
      response.destroy();
      settle();
    }, stallTime);
    response.once('drain', settle);
    response.once('close', settle);
  });
}

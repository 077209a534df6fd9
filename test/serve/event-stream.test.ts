import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { eventStream } from '../../serve/event-stream.ts';

/** A response that has no room until it is drained. */
function fullResponse() {
  const written: string[] = [];
  const response = Object.assign(new EventEmitter(), {
    destroyed: false,
    writableEnded: false,
    writeHead: () => {},
    flushHeaders: () => {},
    write: (data: string) => {
      written.push(data);
      return false;
    },
    end: () => {
      response.writableEnded = true;
    },
    destroy: () => {
      response.destroyed = true;
      response.emit('close');
    },
  });
  return { response, written };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test('of a thousand choices one event waits in memory, and the others wait to be made', async () => {
  const { response, written } = fullResponse();
  const events = eventStream(response as unknown as ServerResponse, {}, 1000);
  const sent = Promise.all(Array.from({ length: 1000 }, (_, i) => events.send({ i })));
  await settle();
  expect(written).toEqual(['data: {"i":0}\n\n']);
  response.emit('drain');
  await settle();
  expect(written).toEqual(['data: {"i":0}\n\n', 'data: {"i":1}\n\n']);
  expect(response.listenerCount('drain')).toBe(1);
  // A client that leaves lets them all go.
  response.destroy();
  await sent;
  expect(written).toHaveLength(2);
  expect(response.listenerCount('drain')).toBe(0);
});

test('a client that reads nothing is cut off', async () => {
  const { response } = fullResponse();
  const events = eventStream(response as unknown as ServerResponse, {}, 20);
  await events.send({});
  expect(response.destroyed).toBe(true);
});

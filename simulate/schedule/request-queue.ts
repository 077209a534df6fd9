import type { SimulatedRequest } from '../scenario.ts';

/** Requests that have not been admitted. */
export interface RequestQueue {
  /** The next request that has arrived, by its place in the list; undefined: none waits. */
  readonly take: (now: number) => number | undefined;
  /** Whether a request waits. */
  readonly waits: (now: number) => boolean;
  /** When the next request arrives, or arrived; undefined: none is left. */
  readonly nextArrival: () => number | undefined;
}

/** @param requests by arrival */
export function requestQueue(requests: readonly SimulatedRequest[]): RequestQueue {
  let next = 0;
  const nextArrival = () => requests[next]?.arrival;
  const waits = (now: number) => (nextArrival() ?? Number.POSITIVE_INFINITY) <= now;
  return { nextArrival, waits, take: (now) => (waits(now) ? next++ : undefined) };
}

/** A row of a simulated step. */
export interface SimulatedRow {
  /** Place of its sequence among the requests. */
  readonly request: number;
  /** From 0. */
  readonly depth: number;
  /**
   * A prompt's tokens; a token on its way; a token that runs on for its keys and values only; a row that does nothing,
   * since it waits for others.
   */
  readonly role: 'prompt' | 'token' | 'background' | 'idle';
  /** Whether it gave a token, and whether its sequence ended with that. */
  readonly outcome: 'stays' | 'leaves' | 'ends';
}

/** One call of the graph. */
export interface SimulatedStep {
  readonly kind: 'prefill' | 'decode';
  /** Milliseconds after the start of the simulation. */
  readonly start: number;
  /** Parts of its time, in milliseconds. */
  readonly pass: number;
  readonly head: number;
  readonly cache: number;
  readonly host: number;
  readonly rows: readonly SimulatedRow[];
  readonly heads: number;
  /** True while sequences wait to be admitted. */
  readonly queued: boolean;
}

/** Milliseconds of a step. */
export function stepDuration({ pass, head, cache, host }: SimulatedStep): number {
  return pass + head + cache + host;
}

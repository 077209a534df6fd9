import { describe, expect, test } from 'vitest';
import { type Contestant, contestant } from '../../measure/contestant.ts';
import { takeTurns } from '../../measure/take-turns.ts';
import type { WorkItem } from '../../measure/workload.ts';
import type { Core, StepReport } from '../../runtime/depth-batched/core.ts';
import type { GenerationRequest } from '../../runtime/depth-batched/request.ts';

const item = (newTokens: number, arrival = 0): WorkItem => ({ prompt: [1], newTokens, arrival, exits: undefined });

/** A scheduler that serves at most two sequences at once and gives each a token a step. */
function twoAtOnce(): Core {
  const requests = new Map<number, { readonly request: GenerationRequest; made: number }>();
  const submitted: number[] = [];
  return {
    submit: (id, request) => {
      requests.set(id, { request, made: 0 });
      submitted.push(id);
      return { ok: true, value: undefined, diagnostics: [] };
    },
    cancel: () => {},
    step: async () => {
      const running = [...requests].slice(0, 2);
      if (running.length === 0) return undefined;
      const tokens = running.map(([id, state]) => {
        state.made += 1;
        const last = state.made === state.request.maxNewTokens;
        if (last) requests.delete(id);
        const event = { request: id, token: 10 * id + state.made, exit: 1, confidence: 1 };
        return last ? { ...event, finished: 'length' as const } : event;
      });
      const rows = running.map(([request]) => ({ request, depth: 0, tokens: 1, role: 'token' as const }));
      const report: StepReport = {
        kind: 'decode',
        rows,
        heads: tokens.length,
        tokens,
        ended: [],
        milliseconds: { total: 0, run: 0 },
      };
      return report;
    },
    state: () => ({
      waiting: Math.max(0, requests.size - 2),
      running: Math.min(2, requests.size),
      preemptions: 0,
      pages: { used: 0, total: 0 },
    }),
    maxPositions: 100,
  };
}

const make = (workload: readonly WorkItem[], maxRows = 2): Contestant =>
  contestant({
    kind: 'depth-wise',
    label: 'two at once',
    core: twoAtOnce(),
    maxRows,
    workload,
    exit: () => ({ kind: 'fixed', loop: 1 }),
  });

describe('contestant', () => {
  test('keeps tokens, exits and times by sequence, and ends when all have ended', async () => {
    const runner = make([item(2), item(3), item(1)]);
    await runner.advance(Number.POSITIVE_INFINITY);
    expect(runner.done()).toBe(true);
    expect(runner.sequences().map(({ tokens }) => tokens)).toEqual([[1, 2], [11, 12, 13], [21]]);
    expect(runner.sequences().map(({ times }) => times.length)).toEqual([2, 3, 1]);
    expect(runner.tokens()).toBe(6);
    // Sequence 2 waits until sequence 0 has ended.
    expect(runner.steps.map(({ steady }) => steady)).toEqual([true, false, false]);
  });

  test('there is no steady state before all rows were in use', async () => {
    const runner = make([item(2), item(3), item(1)], 3);
    await runner.advance(Number.POSITIVE_INFINITY);
    expect(runner.steps.some(({ steady }) => steady)).toBe(false);
  });

  test('its clock is the sum of its steps, and jumps to the next arrival when there is nothing to do', async () => {
    const runner = make([item(1, 0), item(1, 60_000)]);
    await runner.advance(Number.POSITIVE_INFINITY);
    const [first, second] = runner.steps;
    expect(first!.start).toBe(0);
    expect(second!.start).toBe(60_000);
    expect(runner.idle()).toBeCloseTo(60_000 - first!.duration);
    expect(runner.sequences()[1]!.times[0]).toBeCloseTo(60_000 + second!.duration);
  });

  test('stops at the tokens it was asked for, and goes on from there', async () => {
    const runner = make([item(4), item(4)]);
    await runner.advance(3);
    expect(runner.tokens()).toBe(4);
    await runner.advance(4);
    expect(runner.steps).toHaveLength(2);
    await runner.advance(5);
    expect(runner.tokens()).toBe(6);
  });
});

describe('takeTurns', () => {
  test('every round is an equal share of the tokens, the last one ends the workload', async () => {
    const runners = [make([item(8), item(8)]), make([item(8), item(8)])];
    const rounds = await takeTurns({ contestants: runners, tokens: 16, rounds: 4 });
    expect(rounds.map(({ turns }) => turns.map(({ tokens }) => tokens))).toEqual(Array(4).fill([4, 4]));
    expect(runners.every((runner) => runner.done())).toBe(true);
  });

  test('every second round goes backwards, and the probe comes last', async () => {
    const order: string[] = [];
    const named = (name: string): Contestant => {
      const runner = make([item(4)]);
      return {
        ...runner,
        advance: async (tokens, signal) => {
          order.push(name);
          await runner.advance(tokens, signal);
        },
      };
    };
    await takeTurns({
      contestants: [named('a'), named('b')],
      tokens: 4,
      rounds: 2,
      probe: async () => {
        order.push('probe');
      },
    });
    expect(order).toEqual(['a', 'b', 'probe', 'b', 'a', 'probe']);
  });

  test('no round begins behind the deadline or behind an abort', async () => {
    const late = await takeTurns({
      contestants: [make([item(9)])],
      tokens: 9,
      rounds: 9,
      deadline: performance.now() - 1,
    });
    expect(late).toEqual([]);
    const abort = new AbortController();
    const stopped = await takeTurns({
      contestants: [make([item(9)])],
      tokens: 9,
      rounds: 9,
      signal: abort.signal,
      onRound: (round) => {
        if (round === 2) abort.abort();
      },
    });
    expect(stopped.map(({ turns }) => turns[0]!.tokens)).toEqual([1, 0]);
  });
});

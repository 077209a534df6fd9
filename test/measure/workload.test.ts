import { describe, expect, test } from 'vitest';
import { makeExits } from '../../measure/exit-trace.ts';
import { makeWorkload, type WorkloadOptions } from '../../measure/workload.ts';

const options: WorkloadOptions = {
  prompts: { count: 40, lengths: { least: 3, most: 9 }, vocabulary: 100 },
  newTokens: { least: 5, most: 12 },
  arrivals: { kind: 'at-once' },
  exits: { kind: 'made', loops: 3, after: [1, 2], mean: 1.76 },
  seed: 7,
};

describe('makeExits', () => {
  test('their mean is the wanted one, as near as whole tokens allow', () => {
    for (const [loops, mean, count] of [
      [2, 1.2, 1000],
      [3, 1.76, 1000],
      [3, 1.76, 7],
      [4, 1, 50],
      [4, 4, 50],
    ] as const) {
      const exits = makeExits(loops, [1, 2, 3], mean, count, 1);
      expect(exits).toHaveLength(count);
      const found = exits.reduce((sum, exit) => sum + exit, 0) / count;
      expect(Math.abs(found - mean), `${loops} loops, ${count} tokens`).toBeLessThanOrEqual(0.5 / count + 1e-9);
    }
  });

  test('tokens leave only where they may', () => {
    expect([...new Set(makeExits(4, [2], 3, 100, 1))].sort()).toEqual([2, 4]);
  });

  test('two loops that end after 1.2 on average: one token in five stays', () => {
    expect(makeExits(2, [1], 1.2, 500, 3).filter((exit) => exit === 2)).toHaveLength(100);
  });

  test('the seed decides the order and nothing else', () => {
    const [a, b] = [makeExits(3, [1, 2], 1.76, 200, 1), makeExits(3, [1, 2], 1.76, 200, 2)];
    expect(a).not.toEqual(b);
    expect([...a].sort()).toEqual([...b].sort());
    expect(makeExits(3, [1, 2], 1.76, 200, 1)).toEqual(a);
  });

  test('they are mixed: no tenth of them has a mean far from that of all', () => {
    const exits = makeExits(2, [1], 1.2, 1000, 5);
    for (let from = 0; from < 1000; from += 100) {
      const mean = exits.slice(from, from + 100).reduce((sum, exit) => sum + exit, 0) / 100;
      expect(mean).toBeGreaterThan(1.05);
      expect(mean).toBeLessThan(1.35);
    }
  });
});

describe('makeWorkload', () => {
  test('the same options give the same workload, and another seed another', () => {
    expect(makeWorkload(options)).toEqual(makeWorkload(options));
    expect(makeWorkload({ ...options, seed: 8 })).not.toEqual(makeWorkload(options));
  });

  test('lengths and tokens stay in their ranges and reach both ends', () => {
    const items = makeWorkload(options);
    expect(items).toHaveLength(40);
    expect(new Set(items.map(({ prompt }) => prompt.length))).toEqual(new Set([3, 4, 5, 6, 7, 8, 9]));
    expect(Math.min(...items.map(({ newTokens }) => newTokens))).toBe(5);
    expect(Math.max(...items.map(({ newTokens }) => newTokens))).toBe(12);
    expect(items.every(({ prompt }) => prompt.every((token) => token >= 0 && token < 100))).toBe(true);
  });

  test('more prompts leave those before as they were', () => {
    const prompts = { count: 60, lengths: { least: 3, most: 9 }, vocabulary: 100 };
    const more = makeWorkload({ ...options, prompts, exits: { kind: 'threshold' } });
    const fewer = makeWorkload({ ...options, exits: { kind: 'threshold' } });
    expect(more.slice(0, 40)).toEqual(fewer);
  });

  test('a made trace has an exit for every token, all loops for the first, and the mean for the others', () => {
    const items = makeWorkload(options);
    expect(items.every(({ exits, newTokens }) => exits!.length === newTokens && exits![0] === 3)).toBe(true);
    const decided = items.flatMap(({ exits }) => exits!.slice(1));
    expect(decided.reduce((sum, exit) => sum + exit, 0) / decided.length).toBeCloseTo(1.76, 2);
  });

  test('recorded traces serve again from the top when there are more sequences', () => {
    const sequences = [
      [2, 1],
      [2, 2, 1],
    ];
    const items = makeWorkload({ ...options, exits: { kind: 'trace', sequences } });
    expect(items.slice(0, 4).map(({ exits }) => exits)).toEqual([...sequences, ...sequences]);
  });

  test('Poisson arrivals come at the rate, in order', () => {
    const prompts = { count: 2000, lengths: { least: 1, most: 1 }, vocabulary: 10 };
    const arrivals = { kind: 'poisson', perSecond: 50, seed: 3 } as const;
    const times = makeWorkload({ ...options, prompts, arrivals, exits: { kind: 'threshold' } }).map((i) => i.arrival);
    expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
    // 2,000 gaps of 20 ms, whose sum spreads by 2 %.
    expect(times.at(-1)! / 2000).toBeGreaterThan(18.5);
    expect(times.at(-1)! / 2000).toBeLessThan(21.5);
  });
});

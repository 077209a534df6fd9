import { expect, test } from 'vitest';
import { takesTooLong, workloadSeconds } from '../../measure/estimate-time.ts';

test('the time of a workload is that of all rows of all passes in four variants', () => {
  const workload = [
    { prompt: [1, 2, 3], newTokens: 10, arrival: 0, exits: undefined },
    { prompt: [1], newTokens: 2, arrival: 0, exits: undefined },
  ];
  // Prompts: 4 tokens, 3 loops, 4 variants. New tokens: 12, twice 3 loops and twice 1.5.
  expect(workloadSeconds(workload, 3, 1.5, 0.5)).toBeCloseTo((4 * 3 * 4 + 12 * (2 * 3 + 2 * 1.5)) * 0.5);
});

test('ten minutes are too long for all, and what was given is for one round', () => {
  const estimate = { maxRows: 4096, rounds: 12, maxSeconds: undefined };
  expect(takesTooLong({ ...estimate, seconds: 599 })).toBeUndefined();
  expect(takesTooLong({ ...estimate, seconds: 3000 })).toMatchObject({
    code: 'takes-too-long',
    message: 'All variants would take about 50 minutes at 4096 rows, by the time of a step of 64.',
    hint: 'Ask for fewer --rows or --sequences, or give --max-seconds.',
  });
  expect(takesTooLong({ ...estimate, seconds: 3000, maxSeconds: 300 })).toBeUndefined();
  expect(takesTooLong({ ...estimate, seconds: 3000, maxSeconds: 200 })).toMatchObject({
    message: expect.stringContaining('One round of all variants would take about 4 minutes'),
    hint: expect.stringContaining('raise --max-seconds'),
  });
});

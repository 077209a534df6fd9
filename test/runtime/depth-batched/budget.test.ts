import { describe, expect, test } from 'vitest';
import { createBudgets } from '../../../runtime/depth-batched/budget.ts';
import { randomStream } from '../../support/random.ts';

type Confidences = (random: () => number, loop: number) => number;

/** Mean loops of `count` tokens whose confidences are drawn like that, in a model of three loops. */
function meanOf(target: number, start: number, draw: Confidences, count: number): number {
  const budgets = createBudgets(start);
  const random = randomStream('budget');
  let sum = 0;
  for (let i = 0; i < count; i++) {
    let loop = 1;
    while (loop < 3 && !(budgets.threshold(target) < 1 && draw(random, loop) >= budgets.threshold(target))) loop++;
    budgets.left(target, loop);
    sum += loop;
  }
  return sum / count;
}

const distributions: Readonly<Record<string, Confidences>> = {
  'spread evenly': (random) => random(),
  'crowded near 1': (random) => 1 - random() ** 4 / 100,
  'crowded near 0': (random) => random() ** 8,
  'one of two': (random) => (random() < 0.5 ? 0.3 : 0.99),
  'higher in deeper loops': (random, loop) => (loop - 1 + random()) / 3,
  'all the same': () => 0.5,
};

describe.each(Object.entries(distributions))('confidences %s', (_, draw) => {
  test.each([1.2, 1.76, 2.5, 1, 3])('%d loops on average', (target) => {
    for (const start of [0, 0.5, 1, 2]) {
      // What the threshold is off at the begin, over the number of tokens.
      expect(Math.abs(meanOf(target, start, draw, 20_000) - target)).toBeLessThan(0.004);
    }
  });
});

test('every mean has a threshold of its own', () => {
  const budgets = createBudgets(0.5);
  for (let i = 0; i < 10; i++) budgets.left(1.5, 3);
  expect(budgets.threshold(1.5)).toBeLessThan(0.5);
  expect(budgets.threshold(1.6)).toBe(0.5);
});

test('a mean that no threshold reaches is not run after: what follows is as quick as ever', () => {
  const budgets = createBudgets(0.5);
  // Tokens of a model whose first exit is behind loop 2.
  for (let i = 0; i < 100_000; i++) budgets.left(1, 2);
  for (let i = 0; i < 200; i++) budgets.left(1, 0.5);
  expect(budgets.threshold(1)).toBeGreaterThan(1);
});

import { expect, test } from 'vitest';
import { orderRows } from '../../../runtime/depth-batched/order-rows.ts';
import type { Pass } from '../../../runtime/depth-batched/sequence.ts';

/** Passes at these depths, the oldest sequence's first. */
function passes(...depths: readonly number[]): readonly Pass[] {
  return depths.map((depth) => ({ depth, passedOver: 0 }) as Pass);
}

const depthsOf = (rows: readonly Pass[]) => rows.map(({ depth }) => depth);

test('as long as there is room for all, there is no order', () => {
  const ready = passes(0, 2, 1);
  expect(orderRows(ready, 3, 'deepest')).toEqual(ready);
});

test('oldest: who came first', () => {
  const ready = passes(0, 2, 1, 0);
  expect(orderRows(ready, 2, 'oldest')).toEqual(ready.slice(0, 2));
});

test('deepest: who has least to run, then who came first', () => {
  const ready = passes(0, 2, 1, 2, 0);
  const rows = orderRows(ready, 4, 'deepest');
  expect(depthsOf(rows)).toEqual([2, 2, 1, 0]);
  expect(rows[0]).toBe(ready[1]);
  expect(rows[3]).toBe(ready[0]);
});

test('fullest: the depth at which most are ready', () => {
  expect(depthsOf(orderRows(passes(0, 1, 2, 1, 0, 1), 4, 'fullest'))).toEqual([1, 1, 1, 0]);
  // As many at either: the deeper one.
  expect(depthsOf(orderRows(passes(0, 1), 1, 'fullest'))).toEqual([1]);
});

test('fullest: a row is not passed over for ever', () => {
  const lonely = passes(2)[0]!;
  const crowd = passes(0, 0, 0, 0);
  let steps = 0;
  while (steps < 50 && !orderRows([...crowd, lonely], 2, 'fullest').includes(lonely)) steps++;
  expect(steps).toBeGreaterThan(0);
  expect(steps).toBeLessThanOrEqual(20);
  // Its turn is over.
  expect(orderRows([...crowd, lonely], 2, 'fullest')).not.toContain(lonely);
});

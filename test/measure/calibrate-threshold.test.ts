import { expect, test } from 'vitest';
import { thresholdFor } from '../../measure/calibrate-threshold.ts';

/** As confidences are: in f32. */
const evenly = Array.from({ length: 100 }, (_, i) => Math.fround((i + 0.5) / 100));

test('of two loops, the share that leaves early is what is left to the mean', () => {
  // 80 of 100 leave after one loop, 20 after two: 1.2 on average.
  expect(thresholdFor([evenly], [1], 2, 1.2)).toBeCloseTo(0.205, 6);
  expect(thresholdFor([evenly], [1], 2, 2)).toBe(1);
});

test('of three loops, those that stay decide again', () => {
  const threshold = thresholdFor([evenly, evenly], [1, 2], 3, 1.75);
  // With a share of p leaving at each exit, p + 2 p (1 − p) + 3 (1 − p)² is 1.75 where p is a half.
  expect(threshold).toBeCloseTo(0.505, 6);
});

test('nothing heard, nobody leaves', () => {
  expect(thresholdFor([[]], [1], 2, 1.2)).toBe(1);
});

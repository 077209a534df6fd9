import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dealRows } from '../../../files/deal-rows.ts';
import { groupRows } from '../../../runtime/depth-batched/attention-groups.ts';

describe('rows in attention groups', () => {
  test('one group leaves them as they are', () => {
    expect(groupRows([3, 1, 2], 1)).toEqual({ order: [0, 1, 2], sizes: [3] });
  });

  test('rows of one length are spread evenly', () => {
    expect(
      groupRows(
        Array.from({ length: 8 }, () => 5),
        4,
      ).sizes,
    ).toEqual([2, 2, 2, 2]);
  });

  test('a long row is by itself', () => {
    expect(groupRows([1, 40, 1, 1, 2, 1], 2)).toEqual({ order: [0, 2, 3, 5, 4, 1], sizes: [5, 1] });
  });

  test('fewer rows than groups, and none at all', () => {
    expect(groupRows([7], 3).sizes.toSorted()).toEqual([0, 0, 1]);
    expect(groupRows([], 3)).toEqual({ order: [], sizes: [0, 0, 0] });
  });

  test('for engines evenly, the first groups get what is left over, and none has fewer in a longer step', () => {
    expect(groupRows([9, 1, 1, 1, 1, 1], 4, true)).toEqual({ order: [1, 2, 3, 4, 5, 0], sizes: [2, 2, 1, 1] });
    for (let rows = 3; rows < 12; rows++) {
      const [sizes, more] = [dealRows(rows, 3), dealRows(rows + 1, 3)];
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(rows);
      expect(sizes.every((size, g) => size >= 1 && size <= more[g]!)).toBe(true);
    }
  });

  test('every row is in one group, and no other cut attends to less in vain', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(12), { minLength: 1, maxLength: 7 }),
        fc.integer({ min: 2, max: 3 }),
        (widths, groups) => {
          const { order, sizes } = groupRows(widths, groups);
          expect(order.toSorted((a, b) => a - b)).toEqual(widths.map((_, i) => i));
          expect(sizes.reduce((a, b) => a + b, 0)).toBe(widths.length);
          const sorted = widths.toSorted((a, b) => a - b);
          expect(order.map((row) => widths[row])).toEqual(sorted);
          const cost = (cut: readonly number[]) => {
            let [end, sum] = [0, 0];
            for (const size of cut) {
              end += size;
              if (size > 0) sum += size * (sorted[end - 1]! + 1);
            }
            return sum;
          };
          const whole = widths.length * (sorted.at(-1)! + 1);
          const penalty = (cut: readonly number[]) => {
            let [end, sum] = [0, 0];
            for (const size of cut) {
              end += size;
              if (size > 0) sum += (size * (sorted[end - 1]! + 1)) ** 2 / whole;
            }
            return sum;
          };
          for (const cut of cuts(widths.length, groups)) {
            expect(cost(sizes) + penalty(sizes)).toBeLessThanOrEqual(cost(cut) + penalty(cut) + 1e-9);
          }
        },
      ),
    );
  });
});

/** All ways to cut so many rows into so many groups. */
function cuts(rows: number, groups: number): readonly (readonly number[])[] {
  if (groups === 1) return [[rows]];
  return Array.from({ length: rows + 1 }, (_, size) =>
    cuts(rows - size, groups - 1).map((rest) => [size, ...rest]),
  ).flat();
}

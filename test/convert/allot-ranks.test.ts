import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allotRanks, type RankCandidate } from '../../convert/allot/allot-ranks.ts';

const candidate = fc
  .record({ rows: fc.integer({ min: 1, max: 4 }), cols: fc.integer({ min: 1, max: 4 }), known: fc.nat(4) })
  .chain(({ rows, cols, known }) =>
    fc
      .array(fc.integer({ min: 0, max: 9 }), { minLength: known, maxLength: known })
      .map((values) => ({ rows, cols, singular: values.toSorted((a, b) => b - a) })),
  );
const candidates = fc
  .array(candidate, { minLength: 1, maxLength: 4 })
  .map((list): RankCandidate[] => list.map((each, i) => ({ key: String(i), ...each })));

function spent(list: readonly RankCandidate[], ranks: readonly number[]): number {
  return list.reduce((sum, { rows, cols }, i) => sum + ranks[i]! * (rows + cols), 0);
}

function broughtBack(list: readonly RankCandidate[], ranks: readonly number[]): number {
  return list.reduce((sum, { singular }, i) => {
    for (let k = 0; k < ranks[i]!; k++) sum += singular[k]! ** 2;
    return sum;
  }, 0);
}

/** The most that any ranks bring back within a number of parameters: all of them are tried. */
function best(list: readonly RankCandidate[], parameters: number): number {
  const [first, ...rest] = list;
  if (first === undefined) return 0;
  let most = 0;
  for (let rank = 0; rank <= Math.min(first.rows, first.cols, first.singular.length); rank++) {
    const left = parameters - rank * (first.rows + first.cols);
    if (left < 0) break;
    most = Math.max(most, broughtBack([first], [rank]) + best(rest, left));
  }
  return most;
}

function allotted(list: readonly RankCandidate[], parameters: number): readonly number[] {
  const ranks = allotRanks(list, parameters);
  return list.map(({ key }) => ranks.get(key)!);
}

describe('allotRanks', () => {
  test('with what it spends nothing brings back more, until something does not fit', () => {
    let tight = 0;
    fc.assert(
      fc.property(candidates, fc.nat(60), (list, parameters) => {
        const ranks = allotted(list, parameters);
        expect(spent(list, ranks)).toBeLessThanOrEqual(parameters);
        const found = broughtBack(list, ranks);
        const most = best(list, parameters);
        // What one more rank would bring: where all that is worth anything was taken, there is none.
        const next = list.flatMap(({ rows, cols, singular }, i) => {
          const rank = ranks[i]!;
          return rank < Math.min(rows, cols, singular.length) && singular[rank]! > 0 ? [singular[rank]! ** 2] : [];
        });
        if (next.length === 0) expect(found).toBe(most);
        else expect(most - found).toBeLessThan(Math.max(...next, 1));
        if (found === most) tight++;
      }),
      { numRuns: 500 },
    );
    expect(tight).toBeGreaterThan(250);
  });

  test('matrices of one price get the best ranks of all', () => {
    fc.assert(
      fc.property(candidates, fc.nat(60), (list, parameters) => {
        const same = list.map((each) => ({
          ...each,
          rows: 4,
          cols: 3,
          singular: Array.from(each.singular).slice(0, 3),
        }));
        expect(broughtBack(same, allotted(same, parameters))).toBe(best(same, parameters));
      }),
      { numRuns: 500 },
    );
  });

  test('a cheap matrix comes before a dear one that brings back a little more', () => {
    const list = [
      { key: 'dear', rows: 30, cols: 30, singular: [3, 1] },
      { key: 'cheap', rows: 4, cols: 4, singular: [2.9, 2.8, 1] },
    ];
    expect([...allotRanks(list, 16).values()]).toEqual([0, 2]);
    // The dear one is next by its price, does not fit, and the cheap one behind it does.
    expect([...allotRanks(list, 64).values()]).toEqual([0, 3]);
    expect([...allotRanks(list, 1000).values()]).toEqual([2, 3]);
  });

  test('what brings nothing back gets nothing, and no rank is above the smaller side', () => {
    const list = [
      { key: 'zero', rows: 4, cols: 4, singular: [0, 0] },
      { key: 'flat', rows: 1, cols: 9, singular: [1, 1, 1] },
    ];
    expect([...allotRanks(list, 1000).values()]).toEqual([0, 1]);
  });
});

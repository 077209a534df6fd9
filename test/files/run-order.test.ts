import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type RunOrder, runOrder } from '../../files/run-order.ts';

const cycle = { prelude: 1, block: 2, loops: 3, coda: 1, order: 'cycle' } as const;

/** The stored layers as they run, from prelude, block, loops and coda alone. */
function spelled({ prelude, block, loops, coda, layers }: RunOrder): readonly number[] {
  const numbers = layers ?? Array.from({ length: prelude + block + coda }, (_, i) => i);
  const inBlock = numbers.slice(prelude, prelude + block);
  const repeated = Array.from({ length: loops }, () => inBlock).flat();
  return [...numbers.slice(0, prelude), ...repeated, ...numbers.slice(prelude + block)];
}

describe('what a model.json says, as it runs', () => {
  test('a cycle is what it says', () => {
    expect(runOrder(cycle)).toEqual({ prelude: 1, block: 2, loops: 3, coda: 1 });
  });

  test('a sequence of several layers runs in one go', () => {
    const order = runOrder({ ...cycle, order: 'sequence' });
    expect(order).toEqual({ prelude: 0, block: 8, loops: 1, coda: 0, layers: [0, 1, 1, 1, 2, 2, 2, 3] });
  });

  test('a sequence of one layer, or of one loop, is a cycle', () => {
    for (const shape of [{ block: 1 }, { loops: 1 }]) {
      expect(runOrder({ ...cycle, ...shape, order: 'sequence' })).toEqual(runOrder({ ...cycle, ...shape }));
    }
  });

  test.each([
    [[0, 1, 2], { prelude: 0, block: 3, loops: 1, coda: 0 }],
    [[2, 0, 1], { prelude: 0, block: 3, loops: 1, coda: 0, layers: [2, 0, 1] }],
    [[0, 1, 2, 1, 2, 3], { prelude: 1, block: 2, loops: 2, coda: 1 }],
    [[0, 2, 1, 2, 1, 3], { prelude: 1, block: 2, loops: 2, coda: 1, layers: [0, 2, 1, 3] }],
    [[0, 0, 0], { prelude: 0, block: 1, loops: 3, coda: 0 }],
    [[0, 0, 1, 0, 0, 1], { prelude: 0, block: 3, loops: 2, coda: 0, layers: [0, 0, 1] }],
    [[0, 0, 1, 1], { prelude: 0, block: 4, loops: 1, coda: 0, layers: [0, 0, 1, 1] }],
    // What is left of a block at an end is no loop of it.
    [[0, 1, 0, 1, 0], { prelude: 0, block: 5, loops: 1, coda: 0, layers: [0, 1, 0, 1, 0] }],
    // Layers on either side of the block that are one layer are no prelude and coda.
    [[0, 1, 2, 1, 2, 0], { prelude: 0, block: 6, loops: 1, coda: 0, layers: [0, 1, 2, 1, 2, 0] }],
  ])('%j', (layers, expected) => {
    expect(runOrder({ layers })).toEqual(expected);
  });

  test('whatever a list says, its layers run in its order, and the block is the shortest that repeats', () => {
    const numbers = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(numbers, fc.integer({ min: 1, max: 3 }), (list, times) => {
        const layers = Array.from({ length: times }, () => list).flat();
        const order = runOrder({ layers });
        expect(spelled(order)).toEqual(layers);
        if (times > 1) {
          expect(order).toMatchObject({ prelude: 0, coda: 0 });
          expect(order.block).toBeLessThanOrEqual(list.length);
          expect(order.loops).toBeGreaterThanOrEqual(times);
        }
        if (order.loops === 1) expect(order).toMatchObject({ prelude: 0, coda: 0 });
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fittingLoops,
  layersOf,
  missingNumbers,
  shareLayers,
  shareListedLayers,
  sharingNames,
  storedLayers,
} from '../../convert/sharing.ts';

const storedOf = (layers: number, loops: number, name: (typeof sharingNames)[number]) =>
  shareLayers(layers, loops, name).uses.map(({ stored, depth }) => [stored, depth]);

describe('shareLayers', () => {
  test('cycle: the block as a whole, again and again', () => {
    expect(storedOf(6, 2, 'cycle')).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
  });

  test('sequence: each layer of the block several times in a row', () => {
    expect(storedOf(6, 3, 'sequence')).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
  });

  test.each([
    ['middle-cycle', [0, 1, 2, 1, 2, 3]],
    ['middle-sequence', [0, 1, 1, 2, 2, 3]],
  ] as const)('%s: first and last layer stay their own', (name, stored) => {
    const shared = shareLayers(6, 2, name);
    expect(shared).toMatchObject({ prelude: 1, block: 2, loops: 2, coda: 1 });
    expect(shared.uses.map((use) => use.stored)).toEqual(stored);
    expect(shared.uses.map((use) => use.depth === undefined)).toEqual([true, false, false, false, false, true]);
  });

  test('every stored layer of a block runs as often as there are loops, at each depth once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 60 }), fc.constantFrom(...sharingNames), (layers, name) => {
        for (const loops of fittingLoops(layers, name)) {
          const shared = shareLayers(layers, loops, name);
          expect(shared.uses).toHaveLength(layers);
          for (const [stored, uses] of layersOf(shared).entries()) {
            const own = stored < shared.prelude || stored >= shared.prelude + shared.block;
            expect(uses).toHaveLength(own ? 1 : loops);
            const depths = uses.map((layer) => shared.uses[layer]!.depth);
            expect(depths).toEqual(own ? [undefined] : Array.from({ length: loops }, (_, d) => d));
          }
        }
      }),
    );
  });

  test('loops that fit are the divisors, of what is left without first and last', () => {
    expect(fittingLoops(12, 'cycle')).toEqual([2, 3, 4, 6, 12]);
    expect(fittingLoops(12, 'middle-sequence')).toEqual([2, 5, 10]);
    expect(fittingLoops(7, 'sequence')).toEqual([7]);
    expect(fittingLoops(3, 'middle-cycle')).toEqual([]);
    expect(fittingLoops(1, 'cycle')).toEqual([]);
  });
});

describe('shareListedLayers', () => {
  test('a list that says what a name says is shared by the name', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), fc.constantFrom(...sharingNames), (layers, name) => {
        for (const loops of fittingLoops(layers, name)) {
          const named = shareLayers(layers, loops, name);
          const listed = shareListedLayers(named.uses.map(({ stored }) => stored));
          expect(listed.uses.map(({ stored }) => stored)).toEqual(named.uses.map(({ stored }) => stored));
          expect(listed.order).not.toBe('listed');
        }
      }),
    );
  });

  test('any other is what it says; depths count how often a layer ran before', () => {
    const shared = shareListedLayers([0, 1, 1, 0, 2, 1]);
    expect(shared).toMatchObject({ order: 'listed', prelude: 0, block: 3, coda: 0, loops: undefined });
    expect(shared.uses.map(({ depth }) => depth)).toEqual([0, 0, 1, 1, 0, 2]);
    expect(storedLayers(shared)).toBe(3);
    expect(layersOf(shared)).toEqual([[0, 3], [1, 2, 5], [4]]);
  });

  test('numbers that are left out', () => {
    expect(missingNumbers([0, 3, 3, 1])).toEqual([2]);
    expect(missingNumbers([1, 0, 1])).toEqual([]);
  });
});

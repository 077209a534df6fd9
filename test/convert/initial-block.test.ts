import { describe, expect, test } from 'vitest';
import { type InitialBlock, initialLayers } from '../../convert/initial-block.ts';
import { shareLayers, shareListedLayers } from '../../convert/sharing.ts';

const single = (layers: number, loops: number, block: InitialBlock) =>
  initialLayers(shareLayers(layers, loops, 'cycle'), block).map((origins) => origins.join('+'));

describe('stepwise', () => {
  // As numpy.round(numpy.linspace(0, L - 1, K)) has them: the models of the paper.
  test.each([
    [6, 2, [0, 2, 5]],
    [18, 2, [0, 2, 4, 6, 8, 11, 13, 15, 17]],
    [18, 3, [0, 3, 7, 10, 14, 17]],
    [22, 2, [0, 2, 4, 6, 8, 10, 13, 15, 17, 19, 21]],
    [16, 2, [0, 2, 4, 6, 9, 11, 13, 15]],
  ])('of %d layers and %d loops keeps both ends', (layers, loops, expected) => {
    expect(single(layers, loops, 'stepwise')).toEqual(expected.map(String));
  });

  test('a half goes to the even layer', () => {
    // linspace(0, 3, 3) = 0, 1.5, 3 and linspace(0, 5, 3) = 0, 2.5, 5
    expect(initialLayers(shareListedLayers([0, 1, 2, 2]), 'stepwise')).toEqual([[0], [2], [3]]);
    expect(single(6, 2, 'stepwise')).toEqual(['0', '2', '5']);
  });

  test('a block of one layer is the first', () => {
    expect(single(6, 6, 'stepwise')).toEqual(['0']);
  });

  test('between layers that stay their own, ends are those of what is shared', () => {
    const shared = shareLayers(20, 3, 'middle-cycle');
    expect(initialLayers(shared, 'stepwise')).toEqual([[0], [1], [4], [8], [11], [15], [18], [19]]);
  });
});

test('average: the mean of all that a layer replaces, which the order decides', () => {
  expect(single(6, 2, 'average')).toEqual(['0+3', '1+4', '2+5']);
  expect(initialLayers(shareLayers(6, 2, 'sequence'), 'average')).toEqual([
    [0, 1],
    [2, 3],
    [4, 5],
  ]);
  expect(initialLayers(shareLayers(6, 2, 'middle-cycle'), 'average')).toEqual([[0], [1, 3], [2, 4], [5]]);
  expect(initialLayers(shareListedLayers([0, 1, 1, 0, 2, 1]), 'average')).toEqual([[0, 3], [1, 2, 5], [4]]);
});

test('lower and upper: the first or last of those that are shared', () => {
  expect(single(6, 3, 'lower')).toEqual(['0', '1']);
  expect(single(6, 3, 'upper')).toEqual(['4', '5']);
  expect(initialLayers(shareLayers(8, 2, 'middle-sequence'), 'lower')).toEqual([[0], [1], [2], [3], [7]]);
  expect(initialLayers(shareLayers(8, 2, 'middle-sequence'), 'upper')).toEqual([[0], [4], [5], [6], [7]]);
});

test('a list names the originals of the block', () => {
  expect(initialLayers(shareLayers(6, 2, 'cycle'), [5, 0, 0])).toEqual([[5], [0], [0]]);
});

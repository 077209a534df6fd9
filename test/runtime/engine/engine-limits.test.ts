import { describe, expect, test } from 'vitest';
import type { StepShape } from '../../../runtime/depth-batched/step-model.ts';
import { engineLimits, type LimitOptions, machineMemory } from '../../../runtime/engine/engine-limits.ts';

const shape: StepShape = {
  prelude: 0,
  block: 2,
  loops: 3,
  coda: 0,
  hiddenSize: 32,
  vocabulary: 64,
  kvHeads: 2,
  headDim: 8,
  pageSize: 16,
  groups: 1,
  neverEmpty: false,
  dtype: 'f32',
  exits: [1, 2],
};
/** Keys and values of two layers: 2 · 2 · 2 heads · 16 positions · 8 numbers of 4 bytes. */
const page = 4096;

const limits = (options: LimitOptions = {}, { memory = 2 ** 30, positions = 100, over = {} } = {}) => {
  const result = engineLimits({ ...shape, ...over }, positions, options, memory);
  return result.ok ? result.value : result.diagnostics.map(({ code }) => code);
};

describe('by default', () => {
  test('16 sequences of all positions of the model, each with pages for every depth', () => {
    expect(limits()).toEqual({
      maxRows: 16,
      maxSequences: 16,
      maxPositions: 100,
      // 100 positions are 7 pages of 16.
      pages: 16 * 7 * 3,
      boundaryPages: 0,
      pageBytes: (16 * 7 * 3 + 1) * page,
    });
  });

  test('no more than a quarter of the memory, which bounds sequences of a model that does not', () => {
    const memory = 4 * (100 * page + 5);
    expect(limits({}, { memory, positions: Number.POSITIVE_INFINITY })).toMatchObject({
      maxPositions: 33 * 16,
      pages: 99,
      pageBytes: 100 * page,
    });
  });

  test('a page, on a machine of which a quarter is less', () => {
    expect(limits({}, { memory: 5 * page })).toMatchObject({ maxPositions: 16, pageBytes: 4 * page });
  });
});

test('prelude and coda have pages of their own, one for all depths', () => {
  const over = { prelude: 1, coda: 1 };
  expect(limits({ maxSequences: 2 }, { over })).toMatchObject({
    pages: 2 * 7 * 3,
    boundaryPages: 2 * 7,
    pageBytes: (2 * 7 * 3 + 1) * page + (2 * 7 + 1) * page,
  });
});

test('numbers of 16 bits take half, one set of pages for all depths a third', () => {
  expect(limits({}, { over: { dtype: 'f16' } })).toMatchObject({ pageBytes: ((16 * 7 * 3 + 1) * page) / 2 });
  expect(limits({ kvPolicy: 'shared' })).toMatchObject({ pages: 16 * 7, pageBytes: (16 * 7 + 1) * page });
});

test('rows and sequences are two things', () => {
  expect(limits({ maxRows: 4 })).toMatchObject({ maxRows: 4, maxSequences: 4, pages: 4 * 7 * 3 });
  expect(limits({ maxRows: 4, maxSequences: 6 })).toMatchObject({ maxRows: 4, maxSequences: 6, pages: 6 * 7 * 3 });
});

describe('bytes that are given', () => {
  test('hold whole pages of all depths, and sequences only as long', () => {
    expect(limits({ pageBytes: 10 * page - 1 })).toMatchObject({ pages: 6, maxPositions: 32, pageBytes: 7 * page });
    expect(limits({ pageBytes: 10 * page })).toMatchObject({ pages: 9, maxPositions: 48, pageBytes: 10 * page });
  });

  test('are not taken where less will do', () => {
    expect(limits({ pageBytes: 2 ** 29, maxSequences: 1 })).toMatchObject({ pages: 21 });
  });

  test('may be more than a quarter of the memory, not more than all of it', () => {
    const memory = 200 * page;
    expect(limits({ pageBytes: memory }, { memory })).toMatchObject({ pages: 198 });
    expect(limits({ pageBytes: memory + 10 * page }, { memory })).toEqual(['too-much-memory']);
  });

  test('are too few for one sequence of the length that was asked for', () => {
    const result = engineLimits(shape, 100, { pageBytes: 10 * page, maxPositions: 50 }, 2 ** 30);
    expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'too-few-pages' }] });
    expect(result.diagnostics[0]).toMatchObject({
      message: 'Pages of 40960 bytes hold no sequence of 50 positions; that takes 53248 bytes.',
      hint: 'Give pages at least 53248 bytes (pageBytes), or lower maxPositions.',
    });
    expect(limits({ pageBytes: 13 * page, maxPositions: 50 })).toMatchObject({ maxPositions: 50 });
    expect(limits({ pageBytes: page })).toEqual(['too-few-pages']);
  });
});

test('a length that was asked for is served beyond a quarter, if the machine has it', () => {
  const positions = 1e6;
  expect(limits({ maxPositions: 160 }, { positions, memory: 32 * page })).toMatchObject({
    maxPositions: 160,
    pages: 30,
  });
  const result = engineLimits(shape, positions, { maxPositions: 170 }, 32 * page);
  expect(result).toMatchObject({ ok: false, diagnostics: [{ code: 'too-much-memory', hint: 'Lower maxPositions.' }] });
});

test('no array gets more numbers than JavaScript has room for', () => {
  const over = { kvHeads: 1, headDim: 128, pageSize: 64 };
  const all = limits({ pageBytes: 2 ** 45 }, { over, positions: 2 ** 40, memory: 2 ** 46 });
  expect((all as { pages: number }).pages + 1).toBeLessThanOrEqual(2 ** 32 / (128 * 64));
});

test('numbers that are none are all named', () => {
  const options = {
    maxRows: 0,
    maxSequences: 1.5,
    maxPositions: -1,
    pageBytes: Number.NaN,
    prefillChunk: 0,
    threads: 0,
  };
  expect(limits(options)).toEqual(new Array(6).fill('bad-option'));
});

test('the machine has memory', () => {
  expect(machineMemory()).toBeGreaterThan(2 ** 28);
  expect(machineMemory()).toBeLessThan(2 ** 50);
});

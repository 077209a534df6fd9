import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { sharePages } from '../../measure/page-share.ts';
import { probeStep } from '../../measure/probe.ts';
import type { CacheWrite, StepModel, StepResult, StepRow } from '../../runtime/depth-batched/step-model.ts';

const shape = {
  prelude: 1,
  block: 2,
  loops: 2,
  coda: 0,
  hiddenSize: 4,
  vocabulary: 9,
  kvHeads: 1,
  headDim: 4,
  pageSize: 16,
  groups: 1,
  neverEmpty: false,
  dtype: 'f32',
  exits: [1],
} as const;

/** A model that only takes time: 10 a pass, 1 a page in the widest table's width, 0.5 a head on top of 3 for any. */
function timedModel(): StepModel & { readonly ran: (readonly StepRow[])[]; readonly written: CacheWrite[] } {
  const ran: (readonly StepRow[])[] = [];
  const written: CacheWrite[] = [];
  return {
    shape,
    pageCount: 101,
    boundaryPageCount: 51,
    pageBytes: 0,
    ran,
    written,
    run: async (rows) => {
      ran.push(rows);
      const heads = rows.reduce((sum, row) => sum + row.heads.length, 0);
      const width = Math.max(...rows.map(({ position }) => Math.ceil(position / 16)));
      const milliseconds = 10 + width * rows.length + (heads === 0 ? 0 : 3 + heads / 2);
      return { milliseconds } as StepResult;
    },
    write: (writes) => {
      written.push(...writes);
    },
    propagate: async () => 0,
    close: async () => {},
  };
}

const row = (position: number, pages: readonly number[], depth = 0): StepRow => ({
  depth,
  position,
  tokens: [3],
  pages,
  boundaryPages: [2],
  hidden: depth === 0 ? undefined : new Float32Array(4),
  leaving: true,
  heads: [0],
});

describe('probeStep', () => {
  test('finds what a pass, heads, the past and its padding take', async () => {
    const rows = [row(16, [1]), row(64, [2, 3, 4, 5]), row(40, [6, 7, 8])];
    const model = timedModel();
    const times = await probeStep(model, rows, [2, 0, 1, 3, 3, 9], { repeats: 3, milliseconds: 0 });
    const thrice = (number: number) => [number, number, number];
    expect(times).toEqual({
      // One pass before, and one behind each of five ways.
      passes: new Array(16).fill(10 + 4 * 3),
      heads: [
        ...thrice(3.5).map((milliseconds) => ({ count: 1, milliseconds })),
        ...thrice(4).map((milliseconds) => ({ count: 2, milliseconds })),
        ...thrice(4.5).map((milliseconds) => ({ count: 3, milliseconds })),
      ],
      withoutPast: thrice(-12),
      // The mean past of 40 takes three pages a row instead of four.
      evenPast: thrice(-3),
    });
    expect(model.written).toEqual([]);
    // Pages are enough for every position, and are pages that the rows had.
    for (const ran of model.ran.flat()) expect(ran.pages.length).toBeGreaterThanOrEqual(Math.ceil(ran.position / 16));
  });

  test('goes on with heads while there is time, and not when the user has had enough', async () => {
    const slow = { ...timedModel(), run: () => sleep(1, { milliseconds: 1 } as StepResult) };
    const counts = async (signal?: AbortSignal) => {
      const length = { repeats: 2, milliseconds: 60, ...(signal === undefined ? {} : { signal }) };
      const { heads, withoutPast, evenPast } = await probeStep(slow, [row(16, [1])], [1], length);
      return [withoutPast.length, evenPast.length, heads.length];
    };
    const [past, even, heads] = await counts();
    expect([past, even]).toEqual([2, 2]);
    expect(heads).toBeGreaterThan(4);
    expect(await counts(AbortSignal.abort())).toEqual([2, 2, 2]);
  });
});

describe('sharePages', () => {
  test('shares have pages of their own, but for page 0', async () => {
    const model = timedModel();
    const [first, second] = sharePages(model, 2);
    expect([first!.pageCount, second!.pageCount, second!.boundaryPageCount]).toEqual([51, 51, 26]);
    await second!.run([row(16, [1, 0, 50])], { logits: false });
    expect(model.ran[0]![0]).toMatchObject({ pages: [51, 0, 100], boundaryPages: [27] });
    await first!.run([row(16, [1, 0, 50])], { logits: false });
    expect(model.ran[1]![0]).toMatchObject({ pages: [1, 0, 50], boundaryPages: [2] });
    const write = { row: 0, firstToken: 0, tokens: 1, pages: [3], position: 0 };
    second!.write([
      { ...write, part: 'block' },
      { ...write, part: 'prelude' },
    ]);
    expect(model.written.map(({ pages }) => pages)).toEqual([[53], [28]]);
  });

  test('remembers the largest decoding step, of equals the last', async () => {
    const [share] = sharePages(timedModel(), 1);
    expect(share!.lastDecode()).toEqual([]);
    await share!.run([row(16, [1]), row(16, [2])], { logits: false });
    await share!.run([row(16, [3])], { logits: false });
    await share!.run([{ ...row(16, [4]), tokens: [1, 2] }, row(16, [5]), row(16, [6])], { logits: false });
    expect(share!.lastDecode().map(({ pages }) => pages)).toEqual([[1], [2]]);
    await share!.run([row(16, [7]), row(16, [8])], { logits: false });
    expect(share!.lastDecode().map(({ pages }) => pages)).toEqual([[7], [8]]);
  });
});

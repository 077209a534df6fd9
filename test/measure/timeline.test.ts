import { describe, expect, test } from 'vitest';
import type { TimelineStep } from '../../measure/bench-document.ts';
import { cellPaths } from '../../measure/page/timeline/cell-paths.ts';
import { layRows } from '../../measure/page/timeline/lanes.ts';
import { stepsIn, timelineWindow, tokensIn } from '../../measure/page/timeline/timeline-window.ts';

type Row = TimelineStep['rows'][number];

/** Steps of 10 ms from rows as words: request, depth, role `t`, `p`, `i` or `b`, and `*` or `!` for what came of it. */
function steps(...lines: readonly string[]): readonly TimelineStep[] {
  const roles = { t: 'token', p: 'prompt', i: 'idle', b: 'background' } as const;
  return lines.map((line, i) => ({
    start: i * 10,
    duration: 10,
    run: 9,
    heads: 0,
    rows: line
      .split(' ')
      .filter((word) => word !== '')
      .map((word): Row => {
        const [, request, depth, role, mark] = word.match(/^(\d+)\.(\d+)([tpib])([*!]?)$/)!;
        const outcome = mark === '*' ? 'leaves' : mark === '!' ? 'ends' : 'stays';
        return [Number(request), Number(depth), roles[role as keyof typeof roles], outcome];
      }),
  }));
}

const lanes = (...lines: readonly string[]) => {
  const { steps: laid, lanes: count } = layRows(steps(...lines));
  return { lanes: laid.map((rows) => rows.map(({ lane }) => lane)), count };
};

describe('a request keeps its lane', () => {
  test('to its end, and the next one takes it', () => {
    expect(lanes('1.0t 2.0t', '2.1t! 1.1t', '3.0t 1.0t', '1.1t!', '3.1t 4.0t')).toEqual({
      lanes: [[0, 1], [1, 0], [1, 0], [0], [1, 0]],
      count: 2,
    });
  });

  test('in steps without it, too', () => {
    expect(lanes('1.0t 2.0t', '2.1t', '3.0p 2.2t', '1.1t!')).toEqual({ lanes: [[0, 1], [1], [2, 1], [0]], count: 3 });
  });

  test('and a second row of it takes another', () => {
    expect(lanes('1.0t* 2.0t', '1.1b 1.0t 2.1t')).toEqual({
      lanes: [
        [0, 1],
        [0, 2, 1],
      ],
      count: 3,
    });
  });

  test('riding along behind its end it stays, but for somebody who took its place', () => {
    expect(lanes('1.0t! 2.0t', '3.0p', '1.1i 2.1t', '3.0t 2.2t')).toEqual({
      lanes: [[0, 1], [0], [0, 1], [0, 1]],
      count: 2,
    });
    expect(lanes('1.0t! 2.0t', '3.0t 1.1i 2.1t')).toEqual({
      lanes: [
        [0, 1],
        [0, 2, 1],
      ],
      count: 3,
    });
  });
});

describe('the stretch that is drawn', () => {
  const full = steps(...Array<string>(400).fill('1.0t* 2.0t'));
  test('is all of workloads that are short', () => {
    const few = steps('1.0t 2.0t', '1.1t!');
    expect(timelineWindow([few, steps('1.0t')], 2)).toEqual({ from: 0, to: 20 });
    expect(timelineWindow([[]], 2)).toEqual({ from: 0, to: 0 });
  });

  test('starts where every variant has its rows, and ends before columns get too thin or one ends', () => {
    const late = steps(...Array<string>(30).fill('1.0p'), ...Array<string>(370).fill('1.0t 2.0t'));
    expect(timelineWindow([full, late], 2)).toEqual({ from: 300, to: 1800 });
    const ending = full.slice(0, 100);
    expect(timelineWindow([full, ending, late], 2)).toEqual({ from: 300, to: 1000 });
    // Too little would be left: then from the start.
    expect(timelineWindow([full, full.slice(0, 70), late], 2)).toEqual({ from: 0, to: 700 });
  });

  test('has the steps that lie in it, and the tokens of those that end in it', () => {
    const window = { from: 100, to: 200 };
    expect(stepsIn(full, window).map(({ start }) => start)).toEqual([100, 110, 120, 130, 140, 150, 160, 170, 180, 190]);
    expect(tokensIn(full, window)).toBe(10);
  });
});

test('cells: one path for each fill, one box for each row', () => {
  const two = steps('1.0t 2.1t 3.0i', '1.1t 2.1b 4.0p');
  const paths = cellPaths(two, layRows(two).steps, { x: (ms) => ms, y: (lane) => lane * 8, laneHeight: 8 });
  expect(paths.map(({ fill, path }) => [fill, path.match(/M/g)!.length])).toEqual([
    [{ depth: 0, role: 'token' }, 1],
    [{ depth: 1, role: 'token' }, 2],
    ['idle', 1],
    [{ depth: 1, role: 'background' }, 1],
    ['prompt', 1],
  ]);
  expect(paths[0]!.path).toBe('M0 0h9.2v7h-9.2z');
});

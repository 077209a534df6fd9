import { describe, expect, test } from 'vitest';
import { createResidents } from '../../../runtime/depth-batched/residents.ts';
import { nextLength, type PassRules, type Sequence, startPass } from '../../../runtime/depth-batched/sequence.ts';
import { createSpans } from '../../../runtime/depth-batched/spans.ts';
import { fakeModel } from './fake-model.ts';
import { fakeStepModel } from './fake-step-graph.ts';

const pageSize = 4;

/** Sequences with prompts of so many tokens, and as many new ones as `most` says, over so many spans of pages. */
function residents(spans: number, prompts: readonly number[], most: readonly number[] = []) {
  const fake = fakeModel({ pageSize, loops: 2, coda: 1 });
  const all = createSpans(fakeStepModel(fake, 2 * spans, spans), 'last-exited');
  const rules: PassRules = { shape: fake.shape, policy: 'last-exited', prefillChunk: 2 * pageSize };
  const created = createResidents(all, 8, pageSize);
  const sequences = prompts.map((length, age): Sequence => {
    const request = { prompt: Array.from({ length }, () => 1), maxNewTokens: most[age] ?? 100 };
    const rule = { kind: 'fixed', loop: 1 } as const;
    const counts = { started: 0, left: 0, replayed: 0 };
    return { id: 10 + age, age, request, rule, tokens: [], exits: [], passes: [], ...counts, pages: all.none() };
  });
  for (const sequence of sequences) created.queue(sequence);
  /** Lets a sequence read on until it holds so many spans; false: it got no pages. */
  const grow = (sequence: Sequence, to: number): boolean => {
    while (all.held(sequence.pages) < to) {
      if (nextLength(sequence, rules) === 0) sequence.tokens.push(1);
      if (!created.claim(sequence, rules)) return false;
      startPass(sequence, rules);
    }
    return true;
  };
  const held = () => sequences.map(({ pages }) => all.held(pages));
  return { ...created, spans: all, sequences, grow, held };
}

const ids = (list: readonly Sequence[]) => list.map(({ id }) => id);

describe('admission', () => {
  test('counts for everybody what it has read and a page of new tokens', () => {
    // 3 + 4, 5 + 4 and 4 + 4 positions: 2, 3 and 2 spans.
    const { admit, running, waiting } = residents(6, [3, 5, 4]);
    admit();
    expect(ids(running)).toEqual([10, 11]);
    expect(ids(waiting)).toEqual([12]);
  });

  test('counts no more than a sequence can come to', () => {
    const { admit, running } = residents(3, [3, 4, 4], [1, 1, 1]);
    admit();
    expect(ids(running)).toEqual([10, 11, 12]);
  });

  test('lets nobody past who came before, however small', () => {
    const { admit, running, waiting } = residents(5, [3, 9, 1]);
    admit();
    expect(ids(running)).toEqual([10]);
    expect(ids(waiting)).toEqual([11, 12]);
  });

  test('lets somebody in when nobody is there', () => {
    const { admit, running } = residents(2, [8, 1]);
    admit();
    expect(ids(running)).toEqual([10]);
  });
});

describe('a claim that finds too few pages', () => {
  test('takes them from the youngest, and from no more than it has to', () => {
    const { admit, grow, held, running, waiting, sequences, preemptions, spans } = residents(6, [3, 3, 3]);
    const [oldest, middle, youngest] = sequences as [Sequence, Sequence, Sequence];
    admit();
    expect([grow(oldest, 3), grow(middle, 1), grow(youngest, 2)]).toEqual([true, true, true]);
    expect(preemptions()).toBe(0);
    expect(spans.pages()).toEqual({ used: 18, total: 18 });
    expect(grow(oldest, 5)).toBe(true);
    expect(preemptions()).toBe(1);
    expect([ids(running), ids(waiting)]).toEqual([[10, 11], [12]]);
    expect(held()).toEqual([5, 1, 0]);
    expect(youngest).toMatchObject({ started: 0, passes: [] });
    expect(grow(oldest, 6)).toBe(true);
    expect([ids(running), ids(waiting)]).toEqual([[10], [11, 12]]);
    expect(middle.tokens).toEqual([]);
  });

  test('takes none from who is older: it waits, and keeps what it has', () => {
    const { admit, grow, held, running, sequences, preemptions } = residents(6, [3, 3, 3]);
    const [oldest, middle, youngest] = sequences as [Sequence, Sequence, Sequence];
    admit();
    expect([grow(oldest, 3), grow(middle, 2), grow(youngest, 1)]).toEqual([true, true, true]);
    expect(grow(youngest, 2)).toBe(false);
    expect(held()).toEqual([3, 2, 1]);
    expect(preemptions()).toBe(0);
    expect(grow(middle, 3)).toBe(true);
    expect(ids(running)).toEqual([10, 11]);
  });

  test('takes none in vain', () => {
    const { admit, grow, held, sequences, preemptions } = residents(6, [3, 8, 3], [100, 100, 1]);
    const [oldest, middle, youngest] = sequences as [Sequence, Sequence, Sequence];
    admit();
    expect([grow(oldest, 5), grow(youngest, 1)]).toEqual([true, true]);
    // Its first chunk takes two spans, and the youngest has one.
    expect(grow(middle, 1)).toBe(false);
    expect(held()).toEqual([5, 0, 1]);
    expect(preemptions()).toBe(0);
  });
});

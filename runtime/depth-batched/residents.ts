import { invariant } from '../../ir/invariant.ts';
import { knownLength, nextLength, type PassRules, type Sequence } from './sequence.ts';
import type { Spans } from './spans.ts';

/** Sequences that hold pages, or wait for them. */
export interface Residents {
  readonly waiting: readonly Sequence[];
  /** Oldest first. */
  readonly running: readonly Sequence[];
  readonly preemptions: () => number;
  readonly queue: (sequence: Sequence) => void;
  /** Lets waiting sequences in, in the order in which they came, while there is room for them. */
  readonly admit: () => void;
  /**
   * Takes the pages of the sequence's next pass. What is missing is taken from younger sequences, the youngest first,
   * which then wait to run again; when that is not enough, from nobody. False: not now.
   */
  readonly claim: (sequence: Sequence, rules: PassRules) => boolean;
  /** The sequence is over: its pages go back, what it has under way is dropped. */
  readonly end: (sequence: Sequence) => void;
}

/**
 * Nobody can wait for ever: the oldest sequence gets every page that it asks for, since it fits alone into all of them,
 * and when it has ended another one is the oldest.
 */
export function createResidents(spans: Spans, maxSequences: number, pageSize: number): Residents {
  const waiting: Sequence[] = [];
  const running: Sequence[] = [];
  let preemptions = 0;

  /**
   * Spans that a sequence is counted for when others ask for room: for all that it has read or is about to read, and a
   * page of new tokens. Taking no more in than that keeps preemptions rare; counting all tokens that it may ever get
   * would leave pages empty that most sequences never come to.
   */
  const share = (sequence: Sequence) => {
    const { prompt, maxNewTokens } = sequence.request;
    const soon = Math.min(knownLength(sequence) + pageSize, prompt.length + maxNewTokens - 1);
    return Math.max(spans.of(soon), spans.held(sequence.pages));
  };

  const insert = (list: Sequence[], sequence: Sequence) => {
    // Whoever comes now is the youngest; only those that come back go in between.
    let place = list.length;
    while (place > 0 && list[place - 1]!.age > sequence.age) place--;
    list.splice(place, 0, sequence);
  };

  const remove = (list: Sequence[], sequence: Sequence) => {
    const place = list.indexOf(sequence);
    invariant(place >= 0, `request ${sequence.id} is not where it should be`);
    list.splice(place, 1);
  };

  const release = (sequence: Sequence) => {
    spans.give(sequence.pages);
    // Rows that ride along go on reading the pages that they had, so the lists stay as they are.
    sequence.pages = spans.none();
    for (const pass of sequence.passes) pass.dropped = true;
    sequence.passes.length = 0;
  };

  const preempt = (sequence: Sequence) => {
    preemptions++;
    remove(running, sequence);
    release(sequence);
    sequence.replayed = Math.max(sequence.replayed, sequence.left);
    sequence.left = 0;
    sequence.started = 0;
    insert(waiting, sequence);
  };

  const makeRoom = (wanted: number, sequence: Sequence): boolean => {
    let free = spans.free();
    if (free >= wanted) return true;
    const place = running.indexOf(sequence);
    const younger = running.slice(place + 1).filter(({ pages }) => spans.held(pages) > 0);
    if (free + younger.reduce((sum, { pages }) => sum + spans.held(pages), 0) < wanted) return false;
    while (free < wanted) {
      preempt(younger.pop()!);
      free = spans.free();
    }
    return true;
  };

  return {
    waiting,
    running,
    preemptions: () => preemptions,
    queue: (sequence) => insert(waiting, sequence),
    admit: () => {
      if (waiting.length === 0 || running.length >= maxSequences) return;
      let shared = running.reduce((sum, sequence) => sum + share(sequence), 0);
      while (waiting.length > 0 && running.length < maxSequences) {
        const next = waiting[0]!;
        shared += share(next);
        if (shared > spans.total && running.length > 0) return;
        waiting.shift();
        insert(running, next);
      }
    },
    claim: (sequence, rules) => {
      const end = sequence.started + nextLength(sequence, rules);
      const missing = spans.of(end) - spans.held(sequence.pages);
      if (missing > 0 && !makeRoom(missing, sequence)) return false;
      for (let i = 0; i < missing; i++) spans.take(sequence.pages);
      return true;
    },
    end: (sequence) => {
      const place = running.indexOf(sequence);
      if (place >= 0) running.splice(place, 1);
      else remove(waiting, sequence);
      release(sequence);
    },
  };
}

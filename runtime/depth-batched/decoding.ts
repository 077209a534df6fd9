import type { Batching, RowOrder } from './core.ts';
import { orderRows } from './order-rows.ts';
import { isReady, type Pass, type PassRules, type Sequence } from './sequence.ts';

/** How passes of one token share steps. */
export interface Decoding {
  /** Whether a sequence that has a token to start may do so now. */
  readonly mayStart: (sequence: Sequence) => boolean;
  readonly started: (pass: Pass) => void;
  /** The rows of the next decoding step; none: there is nothing to decode. */
  readonly rows: (running: readonly Sequence[]) => readonly Pass[];
  /** To be called at the begin of every step: forgets what is over. */
  readonly tidy: () => void;
}

/** Rows of any depth together; a token starts as soon as the one before it is a loop ahead. */
export function depthWise(rules: PassRules, maxRows: number, order: RowOrder): Decoding {
  return {
    mayStart: () => true,
    started: () => {},
    rows: (running) => {
      const ready: Pass[] = [];
      for (const { passes } of running) {
        for (const pass of passes) if (pass.tokens.length === 1 && isReady(pass, rules.shape)) ready.push(pass);
      }
      return orderRows(ready, maxRows, order);
    },
    tidy: () => {},
  };
}

/**
 * Batches that start a token together and are at one depth. While one is under way nobody joins it. Rows that left are
 * dropped from its later loops (`shrink`) or run on for nothing, as they do where nobody takes them out. Under the
 * policy `complete` a batch is over when all of its tokens have run all loops.
 */
export function sequenceWise(
  { policy, shape }: PassRules,
  maxRows: number,
  batching: Exclude<Batching, 'depth-wise'>,
): Decoding {
  let batch: Pass[] = [];
  /** Left for good; who was taken out in the middle of a token has not left. */
  const over = ({ left, depth, dropped }: Pass) => left && (dropped || policy !== 'complete' || depth === shape.loops);
  const there = (pass: Pass) => pass.left || !pass.dropped;
  return {
    mayStart: ({ passes }) => batch.length < maxRows && passes.length === 0 && batch.every(({ depth }) => depth === 0),
    started: (pass) => {
      batch.push(pass);
    },
    rows: () => batch.filter((pass) => there(pass) && (batching === 'sequence-wise' || !over(pass))),
    tidy: () => {
      batch = batch.every((pass) => over(pass) || !there(pass)) ? [] : batch.filter(there);
    },
  };
}

/** The {@link Decoding} that a batching names; the order of rows is a matter of depth-wise steps only. */
export function createDecoding(rules: PassRules, batching: Batching, maxRows: number, order: RowOrder): Decoding {
  return batching === 'depth-wise' ? depthWise(rules, maxRows, order) : sequenceWise(rules, maxRows, batching);
}

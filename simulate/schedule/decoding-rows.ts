import type { Scenario, SimulatedBatching, SimulatedRowOrder } from '../scenario.ts';
import { hasEnded, isAtWork, isReady, type SimulatedPass, type SimulatedSequence } from './simulated-pass.ts';

/** How passes of one token share steps. */
export interface DecodingRows {
  /** Whether a sequence that has a token to start may do so now. */
  readonly mayStart: (sequence: SimulatedSequence, running: readonly SimulatedSequence[]) => boolean;
  readonly started: (pass: SimulatedPass) => void;
  /** Rows of the next decoding step; none: there is nothing to decode. */
  readonly next: (running: readonly SimulatedSequence[]) => readonly SimulatedPass[];
}

export function decodingRows(scenario: Scenario, batching: SimulatedBatching): DecodingRows {
  return batching === 'depth-wise' ? depthWiseRows(scenario) : sequenceWiseRows(scenario, batching);
}

/** Rows of any depth together; a token starts as soon as the one before it has left. */
function depthWiseRows({ maxRows, rowOrder }: Scenario): DecodingRows {
  return {
    mayStart: () => true,
    started: () => {},
    next: (running) => {
      const ready: SimulatedPass[] = [];
      for (const { passes } of running) {
        for (const pass of passes) if (pass.tokens === 1 && isReady(pass)) ready.push(pass);
      }
      return firstRows(ready, maxRows, rowOrder);
    },
  };
}

/**
 * Batches that start a token together. Nobody joins while one is under way; with `vanilla` nobody joins before all
 * have ended, rows that ended run on, and no token starts before all prompts are through.
 */
function sequenceWiseRows(scenario: Scenario, batching: Exclude<SimulatedBatching, 'depth-wise'>): DecodingRows {
  const { maxRows, kvPolicy, loops } = scenario;
  let batch: SimulatedPass[] = [];
  /** Of `vanilla`: the last tokens of sequences that have ended while others of their batch go on. */
  let padding: SimulatedPass[] = [];
  const isOver = (pass: SimulatedPass) =>
    pass.left && (kvPolicy !== 'complete' || !isAtWork(pass, scenario) || pass.depth === loops);
  const mayJoin = () => batch.length < maxRows && batch.every(({ depth }) => depth === 0);
  const endToken = () => {
    if (!batch.every(isOver)) return;
    if (batching === 'vanilla') padding.push(...batch.filter(hasEnded));
    batch = [];
  };
  return {
    mayStart: ({ passes, prompt, promptStarted }, running) => {
      endToken();
      if (passes.length > 0 || !mayJoin()) return false;
      return batching !== 'vanilla' || promptStarted < prompt || running.every(hasPromptBehind);
    },
    started: (pass) => {
      // A new batch: those who ended are gone.
      if (pass.sequence.started <= 1) padding = [];
      batch.push(pass);
    },
    next: () => {
      endToken();
      if (batching === 'sequence-wise-shrink') return batch.filter((pass) => !isOver(pass));
      if (batch.length === 0 || padding.length === 0) return batch;
      for (const pass of padding) pass.depth = batch[0]!.depth;
      return [...padding, ...batch];
    },
  };
}

function hasPromptBehind({ prompt, promptStarted, passes }: SimulatedSequence): boolean {
  return promptStarted === prompt && passes.every(({ role }) => role === 'token');
}

/** Steps that `fullest` passes a row over before it goes first. */
const patience = 16;

/** @param ready oldest sequence first */
function firstRows(ready: readonly SimulatedPass[], most: number, order: SimulatedRowOrder): readonly SimulatedPass[] {
  if (ready.length <= most) return ready;
  const taken = sorted(ready, order).slice(0, most);
  for (const pass of ready) pass.passedOver += 1;
  for (const pass of taken) pass.passedOver = 0;
  return taken;
}

function sorted(ready: readonly SimulatedPass[], order: SimulatedRowOrder): readonly SimulatedPass[] {
  if (order === 'oldest') return ready;
  if (order === 'deepest') return ready.toSorted((a, b) => b.depth - a.depth);
  const counts = new Map<number, number>();
  for (const { depth } of ready) counts.set(depth, (counts.get(depth) ?? 0) + 1);
  const late = ({ passedOver }: SimulatedPass) => (passedOver >= patience ? passedOver : 0);
  const rows = ({ depth }: SimulatedPass) => counts.get(depth)!;
  return ready.toSorted((a, b) => late(b) - late(a) || rows(b) - rows(a) || b.depth - a.depth);
}

import { closedForm, type SteadyScenario } from '../closed-form.ts';
import { sharesOfMean } from '../exit-shares.ts';
import type { SimulatedBatching } from '../scenario.ts';
import { stepCosts } from '../step-costs.ts';
import { keyValueShare, modelShapes } from './model-shapes.ts';
import { type ComponentTimes, type PaperModel, tableK1 } from './table-k1.ts';
import { depthWiseRates, type PaperRate, sequenceWiseRates } from './table-k2.ts';

/** A sequence-wise rate of Table K.2, from a time of Table K.1. */
export interface SequenceWiseRow {
  readonly model: PaperModel;
  readonly rows: number;
  readonly tokensPerSecond: number;
  readonly printed: number;
  /** (computed - printed) / printed */
  readonly difference: number;
}

/** What a depth-wise rate of Table K.2 says, and what remains of its gain when more is counted. */
export interface DepthWiseRow {
  readonly model: PaperModel;
  readonly loops: number;
  readonly rank: number;
  readonly coefficient: number;
  readonly rows: number;
  readonly printed: number;
  /** Mean exit that makes the printed rate; undefined where the time is a misprint. */
  readonly meanExit: number | undefined;
  /** Why the row was left out. */
  readonly misprint?: string;
  /** Tokens per second over sequence-wise batching of the model as it was, both counted alike. */
  readonly gains?: {
    readonly paper: number;
    /** With embedding and head, once a token, for full batches. */
    readonly head: number;
    /** With the head at every exit, for whoever has no oracle. */
    readonly confidence: number;
    /** With that, and keys and values of skipped loops made from the state a token left with. */
    readonly propagate: number;
    /** With the head at every exit, and tokens that run every loop for their keys and values, as full depth has them. */
    readonly complete: number;
    /** The same exits without depth-wise batching: rows that left are dropped; counted as in `paper`. */
    readonly shrink: number;
  };
  /** (propagate - 1) / (paper - 1): how much of the gain remains with all that an engine has to do. */
  readonly remaining?: number;
}

/** The paper's own simulation, done again. */
export interface PaperReport {
  readonly sequenceWise: readonly SequenceWiseRow[];
  readonly depthWise: readonly DepthWiseRow[];
  /** Milliseconds a token by which totals of Table K.1 exceed the sum of their parts: nobody says what they are. */
  readonly unaccounted: { readonly least: number; readonly most: number };
}

/**
 * Computes the paper's tables from the times it prints: rates of sequence-wise batching, the mean exits behind the rates
 * of depth-wise batching, and what is left of their gains when the parts are counted that the paper left out.
 */
export function reproducePaper(): PaperReport {
  const unaccounted = tableK1.map(({ total, embedding, transformer, head }) => total - embedding - transformer - head);
  return {
    sequenceWise: sequenceWiseRates.map((rate): SequenceWiseRow => {
      const times = timesOf(rate);
      const tokensPerSecond = paperRate(times, 'full-depth', 1);
      const difference = (tokensPerSecond - rate.tokensPerSecond) / rate.tokensPerSecond;
      return { model: rate.model, rows: times.maxBatch, tokensPerSecond, printed: rate.tokensPerSecond, difference };
    }),
    depthWise: depthWiseRates.map(depthWiseRow),
    unaccounted: { least: Math.min(...unaccounted), most: Math.max(...unaccounted) },
  };
}

/** What the paper counts: passes of the block, of one row and of the largest batch, and nothing else. */
export function paperScenario(times: ComponentTimes, meanExit: number): SteadyScenario {
  const { loops, maxBatch, transformer, alone } = times;
  const exitsAfter = Array.from({ length: loops - 1 }, (_, i) => i + 1);
  const costs = stepCosts({
    passes: [
      { rows: 1, milliseconds: alone.transformer },
      { rows: maxBatch, milliseconds: transformer * maxBatch },
    ],
  });
  const exits = sharesOfMean(meanExit, loops, exitsAfter);
  return { loops, exitsAfter, costs, exits, rows: maxBatch, kvPolicy: 'last-exited', decision: 'known' };
}

function paperRate(times: ComponentTimes, batching: SimulatedBatching, meanExit: number): number {
  return closedForm(paperScenario(times, meanExit), batching);
}

function depthWiseRow(rate: PaperRate): DepthWiseRow {
  const { model, loops, rank, coefficient, tokensPerSecond: printed } = rate;
  const times = timesOf(rate);
  const row = { model, loops, rank, coefficient, rows: times.maxBatch, printed };
  if (times.misprint !== undefined) return { ...row, meanExit: undefined, misprint: times.misprint };
  // Depth-wise batching takes time in proportion to the mean exit: one loop a token would give the rate of mean 1.
  const mean = paperRate(times, 'depth-wise', 1) / printed;
  const base = timesOf({ ...rate, loops: 1, rank: 0 });
  const { embedding, transformer, head } = times;
  const ends = base.embedding + base.head;
  const gain = (baseMilliseconds: number, milliseconds: number) => baseMilliseconds / milliseconds;
  const decided = embedding + mean * head;
  const paper = gain(base.transformer, mean * transformer);
  const missing = (loops - mean) * keyValueShare(modelShapes[model]) * transformer;
  const propagate = gain(base.transformer + ends, mean * transformer + decided + missing);
  return {
    ...row,
    meanExit: mean,
    gains: {
      paper,
      head: gain(base.transformer + ends, mean * transformer + embedding + head),
      confidence: gain(base.transformer + ends, mean * transformer + decided),
      propagate,
      complete: gain(base.transformer + ends, loops * transformer + decided),
      shrink: paperRate(times, 'sequence-wise-shrink', mean) / paperRate(base, 'full-depth', 1),
    },
    remaining: (propagate - 1) / (paper - 1),
  };
}

function timesOf({ model, loops, rank }: Pick<PaperRate, 'model' | 'loops' | 'rank'>): ComponentTimes {
  return tableK1.find((row) => row.model === model && row.loops === loops && row.rank === rank)!;
}

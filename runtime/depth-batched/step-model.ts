import type { Numbers } from './numbers.ts';

/** What a package's step graph is, as far as whoever drives it has to know. */
export interface StepShape {
  readonly prelude: number;
  /** Layers of the shared block. */
  readonly block: number;
  readonly loops: number;
  readonly coda: number;
  readonly hiddenSize: number;
  readonly vocabulary: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Positions of a page. */
  readonly pageSize: number;
  /** Attention groups: 1, or as many page tables as the graph has. */
  readonly groups: number;
  /** Whether lists, groups and page tables must have something in them: graphs of the dialect tensorrt ask for it. */
  readonly neverEmpty: boolean;
  /** Element type of hidden states and pages. */
  readonly dtype: 'f32' | 'f16';
  /** Loops, 1-based, behind which a token may leave by its confidence; empty: none. */
  readonly exits: readonly number[];
}

/** A row of a step: one or several tokens of a sequence that run the block at one depth. */
export interface StepRow {
  /** From 0. */
  readonly depth: number;
  /** Position of the first token; everything before it is in the pages. */
  readonly position: number;
  /** Token ids. */
  readonly tokens: readonly number[];
  /** Pages of the block's layers at this depth, enough for `position` entries. */
  readonly pages: readonly number[];
  /** Pages of prelude and coda; empty for a model without. */
  readonly boundaryPages: readonly number[];
  /** [tokens, hidden] behind the loop before; undefined at depth 0. */
  readonly hidden: Numbers | undefined;
  /** True when these tokens end their loops here (they run the coda, if there is one). */
  readonly leaving: boolean;
  /** Places among `tokens` that want logits; needs `leaving` in a model with a coda. */
  readonly heads: readonly number[];
}

/** What a step gave. Arrays are valid until the next step. */
export interface StepResult {
  /** [tokens, hidden] of a row. */
  readonly hidden: (row: number) => Numbers;
  /** Confidence of the i-th head of the step, heads in the order of the rows. */
  readonly confidence: Float32Array;
  /** The likeliest token of every head. */
  readonly likeliest: readonly number[];
  /** [vocabulary] of the i-th head; only if the step was asked for logits. */
  readonly logits: (head: number) => Float32Array;
  /** Milliseconds inside ONNX Runtime. */
  readonly milliseconds: number;
}

/** Which cache entries go where: new entries of some tokens of a row into pages. */
export interface CacheWrite {
  readonly part: 'block' | 'prelude' | 'coda';
  /** Row of the step that made the entries. */
  readonly row: number;
  /** Of its tokens. */
  readonly firstToken: number;
  readonly tokens: number;
  /** Where they go: the pages of one depth of the sequence, and the position of the first. */
  readonly pages: readonly number[];
  readonly position: number;
}

/** The state that a token left with, and a depth that it skips. */
export interface ExitState {
  /** [hidden] */
  readonly hidden: Numbers;
  readonly depth: number;
  readonly position: number;
  /** Pages of the sequence at that depth. */
  readonly pages: readonly number[];
}

/** A step graph with its pages, which lie where ONNX Runtime reads them and are allocated once. */
export interface StepModel {
  readonly shape: StepShape;
  /** Pages of the block's layers, page 0 (all zeros, for padding) included. */
  readonly pageCount: number;
  /** Pages of prelude and coda, page 0 included; 0 for a model without. */
  readonly boundaryPageCount: number;
  /** Bytes that all pages take. */
  readonly pageBytes: number;
  /** Runs the block once. Throws a RuntimeFailure when ONNX Runtime does. */
  readonly run: (rows: readonly StepRow[], options: { readonly logits: boolean }) => Promise<StepResult>;
  /** Copies entries of the last step into pages. */
  readonly write: (writes: readonly CacheWrite[]) => void;
  /**
   * Writes the entries that tokens would have at depths that they skip, made of the states they left with: the policy
   * `propagate`. Returns milliseconds inside ONNX Runtime.
   */
  readonly propagate: (states: readonly ExitState[]) => Promise<number>;
  readonly close: () => Promise<void>;
}

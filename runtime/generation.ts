/** A token as it is generated. */
export interface GeneratedToken {
  /** Place of its sequence among the prompts, from 0. */
  readonly sequence: number;
  readonly token: number;
  /**
   * The loop, from 1, behind which the head chose it: where the token before it left. All loops for the first one, as
   * prompt tokens run them all, and in the form `unrolled`.
   */
  readonly exit: number;
  /** True for the last token of its sequence. */
  readonly last: boolean;
}

/** What came of one prompt. */
export interface GeneratedSequence {
  readonly prompt: readonly number[];
  /** The new tokens, with the end-of-sequence token that stopped them, if one did. */
  readonly tokens: readonly number[];
  /** For each new token its {@link GeneratedToken.exit}. */
  readonly exits: readonly number[];
}

/** What a call of {@link generate} came to; `rtc run --json` prints it. */
export interface Generation {
  readonly sequences: readonly GeneratedSequence[];
  /** Calls of the graph, the prompts' included. */
  readonly steps: number;
  /** Rows of all calls together. */
  readonly rows: number;
  readonly seconds: number;
}

/** Yields tokens as they come, those of one step in the order of the prompts, and returns the whole. */
export type TokenStream = AsyncGenerator<GeneratedToken, Generation, undefined>;

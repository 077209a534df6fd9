import type { Sampling } from '../sampling.ts';

/** What decides behind which loop a new token leaves. Loops count from 1; prompt tokens run all of them. */
export type ExitRule =
  /** The first loop of `exits.after` whose confidence reaches the threshold; 1 or more (or NaN) never leaves. */
  | { readonly kind: 'threshold'; readonly threshold: number }
  /** Exactly this loop, whatever the confidence. */
  | { readonly kind: 'fixed'; readonly loop: number }
  /**
   * A recorded run: entry i is the loop behind which new token i is chosen, as `exits` of a finished sequence has it.
   * Entry 0 is not read (the prompt runs all loops); tokens past the end run all loops.
   */
  | { readonly kind: 'trace'; readonly exits: readonly number[] }
  /** A threshold that is moved so that tokens run `meanLoops` loops on average, over all requests with this rule. */
  | { readonly kind: 'budget'; readonly meanLoops: number };

/** One sequence to go on from. */
export interface GenerationRequest {
  /** Token ids, at least one. */
  readonly prompt: readonly number[];
  /** At most this many new tokens. */
  readonly maxNewTokens: number;
  /** Greedy by default. A draw depends on the logits, the seed and how many tokens the sequence has, on nothing else. */
  readonly sampling?: Sampling;
  /** By default the model's own threshold. */
  readonly exit?: ExitRule;
  /** Goes on past end-of-sequence tokens. */
  readonly ignoreEos?: boolean;
  /**
   * For measuring on a given text: new token i is `forced[i]`, whatever is chosen (past the end, what is chosen). The
   * events still say what was chosen, and how likely the forced token was.
   */
  readonly forced?: readonly number[];
}

/** Why a sequence got no more tokens. */
export type FinishReason = 'length' | 'stop' | 'cancelled';

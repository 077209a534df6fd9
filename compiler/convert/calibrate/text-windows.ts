import { type Diagnostic, failure, type Location, type Result, success } from '../../../files/diagnostics.ts';

/** Tokens of a text in pieces of the same length, one behind the other. */
export interface TextWindows {
  /** Windows. */
  readonly count: number;
  /** Tokens of each. */
  readonly length: number;
  /** count · length token ids. */
  readonly tokens: Int32Array;
}

/**
 * Cuts tokens into windows of `length`, at most `most` of them, spread evenly over the text; what is left of the last
 * one is left out. Fails with `short-text` where there is not one window, and with `unknown-token` beyond `vocabulary`.
 */
export function textWindows(
  ids: readonly number[],
  { length, most, vocabulary }: { readonly length: number; readonly most: number; readonly vocabulary: number },
  location: Location,
): Result<TextWindows> {
  const error = (code: string, message: string, hint: string): Diagnostic => {
    return { severity: 'error', code, location, message, hint };
  };
  const beyond = ids.find((id) => !(id >= 0 && id < vocabulary));
  if (beyond !== undefined) {
    const message = `The tokenizer makes token ${beyond} of this text, and the model has ${vocabulary}.`;
    return failure(error('unknown-token', message, 'Put the tokenizer.json beside the model that it was made with.'));
  }
  const whole = Math.floor(ids.length / length);
  if (whole === 0) {
    const message = `The text has ${ids.length} tokens, and ${length} are the least.`;
    return failure(error('short-text', message, 'Give some pages of what the model is for.'));
  }
  const count = Math.min(whole, most);
  const tokens = new Int32Array(count * length);
  for (let i = 0; i < count; i++) {
    const from = Math.floor((i * whole) / count) * length;
    for (let j = 0; j < length; j++) tokens[i * length + j] = ids[from + j]!;
  }
  return success({ count, length, tokens });
}

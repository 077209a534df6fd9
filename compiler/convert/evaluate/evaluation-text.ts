import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { textWindows } from '../../../measure/quality-text.ts';
import { loadTokenizer } from '../../../runtime/tokenizer.ts';
import type { DecoderSpec } from '../../architectures/decoder-spec.ts';

/** A text as a model reads it. */
export interface EvaluationText {
  /** Name of the file, without its folder. */
  readonly name: string;
  /** Token ids, windows that share none; all of one length, at least two. */
  readonly windows: readonly (readonly number[])[];
}

export interface EvaluationTextOptions {
  /** Tokens of a window, of which all but the first are predicted; 129, or as many as the model has positions for. */
  readonly window?: number | undefined;
  /** How many windows are read, from the beginning; 64. A shorter text has fewer. */
  readonly windows?: number | undefined;
}

/** What of a model decides how it reads a text. */
export interface TextReader {
  /** Where its tokenizer.json is. */
  readonly folder: string;
  readonly spec: Pick<DecoderSpec, 'maxPositions' | 'vocabSize'>;
}

/**
 * Reads a text and cuts it into windows. What is left over at its end is not used; a text that is shorter than a window
 * is one.
 */
export async function readEvaluationText(
  { folder, spec }: TextReader,
  file: string,
  { window, windows = 64 }: EvaluationTextOptions = {},
): Promise<Result<EvaluationText>> {
  const problem = (code: string, message: string, hint?: string): Result<never> =>
    failure({ severity: 'error', code, location: { file }, message, ...(hint !== undefined && { hint }) });
  const length = window ?? Math.min(129, spec.maxPositions + 1);
  const wrong = [...count('window', length, 2), ...count('windows', windows, 1)];
  if (wrong.length > 0) return failure(...wrong);
  if (length > spec.maxPositions + 1) {
    const message = `A window of ${length} tokens asks for ${length - 1} positions, and the model has ${spec.maxPositions}.`;
    return problem('too-long', message, `Choose a window of at most ${spec.maxPositions + 1}.`);
  }
  const tokenizer = await loadTokenizer(folder);
  if (!tokenizer.ok) return tokenizer;
  if (tokenizer.value === undefined) {
    const message = 'The model has no tokenizer.json, so text cannot become tokens.';
    return problem('no-tokenizer', message, 'Put a tokenizer.json beside the model.');
  }
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return failure(fileDiagnostic(error, { file }, 'read'));
  }
  const tokens = tokenizer.value.encode(text);
  const cut = textWindows(tokens, length).slice(0, windows);
  if (cut[0]!.length < 2) return problem('short-text', 'The text has fewer than two tokens; nothing can be predicted.');
  const largest = tokens.reduce((most, token) => Math.max(most, token), 0);
  if (largest >= spec.vocabSize) {
    const message = `The tokenizer makes token ${largest} of it, and the model's vocabulary has ${spec.vocabSize}.`;
    return problem('unknown-token', message, 'This tokenizer.json is of another model.');
  }
  return success({ name: basename(file), windows: cut });
}

function count(option: string, value: number, least: number): readonly Diagnostic[] {
  if (Number.isSafeInteger(value) && value >= least) return [];
  const message = `The option "${option}" is ${JSON.stringify(value)}; a whole number from ${least} was expected.`;
  return [{ severity: 'error', code: 'invalid-option', message }];
}

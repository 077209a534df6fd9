import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import { fileDiagnostic } from '../files/file-diagnostic.ts';

/** Text to token ids and back, as a model's tokenizer.json says. */
export interface TextTokenizer {
  /**
   * Token ids of a prompt, with the special tokens that the tokenizer puts around one. Text that the vocabulary has
   * nothing for, not even an unknown token, gives no ids.
   * @param around `none` puts no special tokens around the text: a chat template has written them already
   */
  readonly encode: (text: string, around?: 'none') => readonly number[];
  /** The text of whole sequences; special tokens and ids that the tokenizer does not know give no text. */
  readonly decode: (tokens: readonly number[]) => string;
  /** Text that arrives token by token, behind `context`, the tokens that came before. */
  readonly stream: (context: readonly number[]) => TextStream;
}

/** Turns tokens to text as they come. What it returned so far, joined, is text that never has to be taken back. */
export interface TextStream {
  /** The text that `token` completes: nothing while it ends in the middle of a character. */
  readonly push: (token: number) => string;
  /** What was held back, once no more tokens come: bytes that make no character show as U+FFFD. */
  readonly end: () => string;
}

/**
 * Reads tokenizer.json in `folder`, and tokenizer_config.json when there is one.
 * Without a tokenizer.json the value is undefined.
 */
export async function loadTokenizer(folder: string): Promise<Result<TextTokenizer | undefined>> {
  const path = join(folder, 'tokenizer.json');
  const vocabulary = await readObject(path);
  const config = await readObject(join(folder, 'tokenizer_config.json'));
  const problems = [...vocabulary.diagnostics, ...config.diagnostics];
  if (!vocabulary.ok || !config.ok) return failure(...problems);
  if (vocabulary.value === undefined) return success(undefined);
  try {
    return success(textTokenizer(new Tokenizer(vocabulary.value, config.value ?? {})));
  } catch (error) {
    return failure({
      severity: 'error',
      code: 'unsupported-tokenizer',
      location: { file: path },
      message: `This tokenizer cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'Tokenize elsewhere and pass token ids instead.',
    });
  }
}

/**
 * A JSON file as an object; undefined when there is no such file. Vocabularies run to tens of megabytes and hold words
 * such as "constructor", so this is plain JSON.parse and not the located reader that the formats of rtc go through.
 */
async function readObject(path: string): Promise<Result<object | undefined>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return success(undefined);
    return failure(fileDiagnostic(error, { file: path }, 'read'));
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return success(value);
    return failure(invalid(path, 'it holds no object'));
  } catch (error) {
    return failure(invalid(path, error instanceof Error ? error.message : String(error)));
  }
}

function invalid(path: string, why: string): Diagnostic {
  const message = `"${path}" is not the JSON of a tokenizer: ${why}.`;
  return { severity: 'error', code: 'invalid-json', location: { file: path }, message };
}

/** What rtc uses of the library, whose own declarations do not resolve as an ES module's in Node. */
interface HuggingFaceTokenizer {
  /** An id is undefined where the unknown token is itself unknown. */
  readonly encode: (
    text: string,
    options: { readonly add_special_tokens: boolean },
  ) => { readonly ids: readonly (number | undefined)[] };
  readonly decode: (
    tokens: readonly number[],
    options: { readonly skip_special_tokens: boolean; readonly clean_up_tokenization_spaces: boolean },
  ) => string;
  readonly id_to_token: (id: number) => string | undefined;
}

function textTokenizer(tokenizer: HuggingFaceTokenizer): TextTokenizer {
  const decode = (tokens: readonly number[]): string => {
    const known = tokens.filter((token) => tokenizer.id_to_token(token) !== undefined);
    // Cleaning up takes back spaces that are printed already.
    const options = { skip_special_tokens: true, clean_up_tokenization_spaces: false };
    return known.length === 0 ? '' : tokenizer.decode(known, options);
  };
  return {
    decode,
    encode: (text, around) =>
      tokenizer.encode(text, { add_special_tokens: around !== 'none' }).ids.filter((id) => id !== undefined),
    stream: (context) => textStream(decode, context),
  };
}

/** Tokens of the context that are decoded along: a character takes at most four tokens, a word start one. */
const contextTokens = 6;

function textStream(decode: (tokens: readonly number[]) => string, context: readonly number[]): TextStream {
  // `window` = tokens whose text is printed, then tokens held back. A token's text depends on those before it (a
  // space in front, bytes of one character), so tokens are never decoded alone.
  let window = context.slice(-contextTokens);
  let printed = window.length;
  const next = (last: boolean): string => {
    // A context may itself end inside a character, which the first token then completes.
    const before = decode(window.slice(0, printed)).replace(/\uFFFD+$/, '');
    const text = decode(window);
    if (text.length <= before.length || (!last && text.endsWith('\uFFFD'))) return '';
    window = window.slice(-contextTokens);
    printed = window.length;
    return text.slice(before.length);
  };
  return {
    push: (token) => {
      window = [...window, token];
      return next(false);
    },
    end: () => next(true),
  };
}

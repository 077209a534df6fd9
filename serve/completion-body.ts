import { z } from 'zod';
import { generationFields, unsupported } from './generation-fields.ts';

/** A prompt as a client gave it: text, or token ids. */
export type Prompt = string | readonly number[];

/** The body of `POST /v1/completions`. */
export const completionBody = z.strictObject({
  ...generationFields,
  prompt: z.unknown().transform((value, context): readonly Prompt[] => {
    const prompts = promptsOf(value);
    if (typeof prompts !== 'string') return prompts;
    context.addIssue({ code: 'custom', message: prompts });
    return z.NEVER;
  }),
  max_tokens: z.int().min(0).nullish(),
  echo: z.boolean().nullish(),
  best_of: z.int().min(1).nullish(),
  logprobs: unsupported([], 'log probabilities are not supported; leave it out'),
  suffix: unsupported([''], 'text cannot be inserted; leave it out'),
});

/** The parameters of `POST /v1/completions`. */
export type CompletionBody = z.infer<typeof completionBody>;

/** Text, texts, token ids or lists of token ids; else what was expected. */
function promptsOf(value: unknown): readonly Prompt[] | string {
  const expected = 'expected a string, an array of strings, an array of token ids, or an array of such arrays';
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) return value === undefined || value === null ? 'you must provide a prompt' : expected;
  const list: readonly unknown[] = value;
  if (list.length === 0) return 'the list of prompts is empty';
  if (list.every((prompt) => typeof prompt === 'string')) return list;
  if (isTokens(list)) return [list];
  if (list.every(isTokens)) return list;
  return expected;
}

function isTokens(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((token) => Number.isSafeInteger(token) && token >= 0);
}

import { randomUUID } from 'node:crypto';
import type { ChoiceEnd, ChoicePart } from './run-choice.ts';

/** Tokens of a request, as OpenAI counts them. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** A text that is finished: a part that is the whole. */
export type FinishedChoice = ChoicePart & { readonly end: ChoiceEnd };

/** The documents of an answer, which share their id and time. */
export interface AnswerShape {
  /** The whole answer. */
  readonly whole: (choices: readonly FinishedChoice[], usage: Usage) => object;
  /** Events that open a choice in a stream. */
  readonly opening: (index: number) => readonly object[];
  /** Events of a part. */
  readonly part: (part: ChoicePart) => readonly object[];
  /** The event with the usage. */
  readonly usage: (usage: Usage) => object;
}

/** What the documents of both endpoints need to know. */
export interface ShapeOptions {
  readonly model: string;
  readonly tokenIds: boolean;
  /** Whether every event of a stream says that its usage is still to come. */
  readonly includeUsage: boolean;
}

/** Answers of `/v1/completions`. */
export function completionShape(options: ShapeOptions): AnswerShape {
  const head = headOf('cmpl-', 'text_completion', options);
  return {
    whole: (choices, usage) => ({
      ...head,
      choices: choices.map((choice) => ({
        text: choice.text,
        index: choice.index,
        logprobs: null,
        finish_reason: choice.end.reason,
        ...extension(choice, options),
      })),
      usage,
    }),
    opening: () => [],
    part: (part) => {
      const { text, index, end } = part;
      const choice = { text, index, logprobs: null, finish_reason: end?.reason ?? null, ...extension(part, options) };
      return [event(head, choice, options)];
    },
    usage: (usage) => ({ ...head, choices: [], usage }),
  };
}

/** Answers of `/v1/chat/completions`. */
export function chatShape(options: ShapeOptions): AnswerShape {
  const head = headOf('chatcmpl-', 'chat.completion', options);
  const chunk = { ...head, object: 'chat.completion.chunk' };
  return {
    whole: (choices, usage) => ({
      ...head,
      choices: choices.map((choice) => ({
        index: choice.index,
        message: { role: 'assistant', content: choice.text, refusal: null },
        logprobs: null,
        finish_reason: choice.end.reason,
        ...extension(choice, options),
      })),
      usage,
    }),
    opening: (index) => {
      const delta = { role: 'assistant', content: '', refusal: null };
      return [event(chunk, { index, delta, logprobs: null, finish_reason: null }, options)];
    },
    part: (part) => {
      const { text, index, end } = part;
      const delta = (content: string) => ({ index, delta: content === '' ? {} : { content }, logprobs: null });
      // Clients look for the reason in an event without content.
      const parts: readonly ChoicePart[] =
        end === undefined || text === ''
          ? [part]
          : [
              { index, text, tokens: part.tokens, exits: part.exits },
              { index, text: '', tokens: [], exits: [], end },
            ];
      return parts.map((one) => {
        const choice = { ...delta(one.text), finish_reason: one.end?.reason ?? null, ...extension(one, options) };
        return event(chunk, choice, options);
      });
    },
    usage: (usage) => ({ ...chunk, choices: [], usage }),
  };
}

function headOf(prefix: string, object: string, { model }: ShapeOptions) {
  const id = `${prefix}${randomUUID().replaceAll('-', '')}`;
  return { id, object, created: Math.floor(Date.now() / 1000), model, system_fingerprint: null };
}

function event(head: object, choice: object, { includeUsage }: ShapeOptions): object {
  return { ...head, choices: [choice], ...(includeUsage ? { usage: null } : {}) };
}

/** What OpenAI's answers do not have, and clients leave aside: loops that tokens ran, and on request the tokens. */
function extension(
  { tokens, exits, end }: Pick<ChoicePart, 'tokens' | 'exits' | 'end'>,
  { tokenIds }: ShapeOptions,
): object {
  return {
    ...(end === undefined ? {} : { mean_loops: end.meanLoops ?? null }),
    ...(tokenIds ? { token_ids: tokens, exits } : {}),
  };
}

import { z } from 'zod';
import { generationFields, unsupported } from './generation-fields.ts';

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() });

const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([z.string(), z.array(textPart)]).nullish(),
  name: z.string().nullish(),
});

/** The body of `POST /v1/chat/completions`. */
export const chatBody = z.strictObject({
  ...generationFields,
  messages: z.array(message).min(1),
  max_tokens: z.int().min(0).nullish(),
  max_completion_tokens: z.int().min(0).nullish(),
  logprobs: unsupported([false], 'log probabilities are not supported; leave it out'),
  top_logprobs: unsupported([0], 'log probabilities are not supported; leave it out'),
  tools: unsupported([[]], 'tools are not supported; leave it out'),
  tool_choice: unsupported(['none'], 'tools are not supported; leave it out'),
  parallel_tool_calls: unsupported([true, false], 'tools are not supported; leave it out'),
  functions: unsupported([[]], 'functions are not supported; leave it out'),
  function_call: unsupported(['none'], 'functions are not supported; leave it out'),
  response_format: unsupported([{ type: 'text' }], 'answers are text; leave it out'),
  modalities: unsupported([['text']], 'answers are text; leave it out'),
});

/** The parameters of `POST /v1/chat/completions`. */
export type ChatBody = z.infer<typeof chatBody>;

/** A message as a chat template takes it. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
}

/** Messages with their texts joined; OpenAI's newer `developer` is what templates know as `system`. */
export function chatMessages({ messages }: ChatBody): readonly ChatMessage[] {
  return messages.map(({ role, content, name }) => ({
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join(''),
    ...(name ? { name } : {}),
  }));
}

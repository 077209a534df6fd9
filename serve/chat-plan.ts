import type { Engine } from '../runtime/engine.ts';
import { chatBody, chatMessages } from './chat-body.ts';
import type { ChatTemplate } from './chat-template.ts';
import { makePlan, type Plan, type PlanOptions, tooManyChoices } from './plan.ts';
import { readBody } from './read-body.ts';
import { badRequest, type Refusal, refused, type Served } from './refusal.ts';

/** Reads the body of `POST /v1/chat/completions`. */
export function chatPlan(
  engine: Engine,
  template: ChatTemplate | undefined,
  options: PlanOptions,
  body: unknown,
): Served<Plan> {
  const { tokenizer } = engine;
  if (template === undefined || tokenizer === undefined) return refused(noChat(engine));
  const read = readBody(body, chatBody);
  if (!read.ok) return read;
  const fields = read.value;
  const many = tooManyChoices(1, fields.n, options.maxChoices);
  if (many !== undefined) return refused(badRequest(many));
  const rendered = template(chatMessages(fields));
  if (!rendered.ok) {
    const message = `The model's chat template refuses these messages: ${rendered.why}`;
    return refused(badRequest({ message, param: 'messages', code: 'invalid_messages' }));
  }
  const prompt = { tokens: tokenizer.encode(rendered.text, 'none'), echo: '', param: 'messages' };
  return makePlan(engine, fields, [prompt], fields.max_completion_tokens ?? fields.max_tokens ?? undefined, options);
}

function noChat({ manifest, tokenizer }: Engine): Refusal {
  const lacks = tokenizer === undefined ? 'tokenizer' : 'chat template';
  const message = `The model "${manifest.name}" has no ${lacks}, so it cannot chat. Use /v1/completions.`;
  return badRequest({ message, param: 'model', code: 'no_chat_template' });
}

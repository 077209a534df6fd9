import type { Engine } from '../runtime/engine.ts';
import { completionBody, type Prompt } from './completion-body.ts';
import { makePlan, type Plan, type PlanOptions, type TokenPrompt, tooManyChoices } from './plan.ts';
import { readBody } from './read-body.ts';
import { badRequest, type Problem, refused, type Served } from './refusal.ts';

/** New tokens when nobody says how many: OpenAI's number. */
const defaultTokens = 16;

/** Reads the body of `POST /v1/completions`. */
export function completionPlan(engine: Engine, options: PlanOptions, body: unknown): Served<Plan> {
  const read = readBody(body, completionBody);
  if (!read.ok) return read;
  const fields = read.value;
  // First of all: what follows takes time and space for every one of them.
  const many = tooManyChoices(fields.prompt.length, fields.n, options.maxChoices);
  if (many !== undefined) return refused(badRequest(many));
  const problems = ownProblems(engine, fields);
  const [first, ...others] = problems;
  if (first !== undefined) return refused(badRequest(first, ...others));
  const prompts = fields.prompt.map((prompt, i) =>
    tokenPrompt(engine, prompt, fields.echo ?? false, fields.prompt.length === 1 ? 'prompt' : `prompt[${i}]`),
  );
  return makePlan(engine, fields, prompts, fields.max_tokens ?? defaultTokens, options);
}

function ownProblems(
  { tokenizer }: Engine,
  { prompt, echo, best_of: bestOf, n }: { prompt: readonly Prompt[]; echo?: unknown; best_of?: unknown; n?: unknown },
): readonly Problem[] {
  const problems: Problem[] = [];
  if (tokenizer === undefined && prompt.some((one) => typeof one === 'string')) {
    const message = 'The model has no tokenizer: give the prompt as token ids, such as [1, 2, 3].';
    problems.push({ message, param: 'prompt', code: 'no_tokenizer' });
  }
  if (tokenizer === undefined && echo) {
    problems.push({
      message: 'The model has no tokenizer, so there is no text to echo.',
      param: 'echo',
      code: 'no_tokenizer',
    });
  }
  if (bestOf != null && bestOf !== (n ?? 1)) {
    const message =
      'Choosing the best of several texts is not supported: leave "best_of" out, or make it equal to "n".';
    problems.push({ message, param: 'best_of', code: 'unsupported_parameter' });
  }
  return problems;
}

function tokenPrompt({ tokenizer }: Engine, prompt: Prompt, echo: boolean, param: string): TokenPrompt {
  if (typeof prompt === 'string') return { tokens: tokenizer!.encode(prompt), echo: echo ? prompt : '', param };
  return { tokens: prompt, echo: echo ? tokenizer!.decode(prompt) : '', param };
}

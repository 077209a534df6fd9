import { randomInt } from 'node:crypto';
import type { ExitRule, GenerationRequest } from '../runtime/depth-batched/request.ts';
import type { Engine } from '../runtime/engine.ts';
import type { Sampling } from '../runtime/sampling.ts';
import type { GenerationFields } from './generation-fields.ts';
import { badRequest, type Problem, refused, type Served, served } from './refusal.ts';

/** One text to make. */
export interface ChoicePlan {
  readonly index: number;
  /** Tokens of the prompt. */
  readonly prompt: readonly number[];
  /** Text in front of the new text. */
  readonly echo: string;
  /** Undefined: no new tokens are wanted. */
  readonly request: GenerationRequest | undefined;
}

/** What a request asks the engine for, checked as far as the server knows. */
export interface Plan {
  readonly choices: readonly ChoicePlan[];
  /** Tokens of the prompts, each counted once. */
  readonly promptTokens: number;
  readonly stop: readonly string[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Whether the answer has token ids and exits: when asked for, and where there is no text. */
  readonly tokenIds: boolean;
}

/** A prompt in tokens. */
export interface TokenPrompt {
  readonly tokens: readonly number[];
  readonly echo: string;
  /** How messages name it: `prompt`, `prompt[2]`, `messages`. */
  readonly param: string;
}

/** What every request is read with. */
export interface PlanOptions {
  /** Texts that one request may ask for. */
  readonly maxChoices: number;
  /** For requests that say nothing of it; undefined: the model's own threshold. */
  readonly exit?: ExitRule | undefined;
}

/**
 * @param prompts at least one
 * @param maxTokens new tokens a choice; undefined: as many as there is room for
 */
export function makePlan(
  { manifest, limits, tokenizer }: Engine,
  fields: GenerationFields,
  prompts: readonly TokenPrompt[],
  maxTokens: number | undefined,
  defaults: PlanOptions,
): Served<Plan> {
  const problems: readonly Problem[] = [
    ...modelProblems(fields.model, manifest.name),
    ...fieldProblems(fields, manifest.recursion.loops, tokenizer !== undefined),
    ...prompts.flatMap((prompt) => lengthProblems(prompt, maxTokens, limits.maxPositions)),
  ];
  const [first, ...others] = problems;
  if (first !== undefined) {
    const status = problems.every(({ code }) => code === 'model_not_found') ? 404 : 400;
    return refused({ ...badRequest(first, ...others), status });
  }
  const n = fields.n ?? 1;
  // Without a seed every answer is another one.
  const seed = fields.seed ?? randomInt(2 ** 47);
  const exit = exitRule(fields) ?? defaults.exit;
  const choices = prompts.flatMap(({ tokens, echo }, i) =>
    Array.from({ length: n }, (_, j): ChoicePlan => {
      const index = i * n + j;
      const maxNewTokens = maxTokens ?? roomFor(limits.maxPositions, tokens.length);
      const request: GenerationRequest = {
        prompt: tokens,
        maxNewTokens,
        sampling: sampling(fields, seed + index),
        ...(exit === undefined ? {} : { exit }),
        ignoreEos: fields.ignore_eos ?? false,
      };
      return { index, prompt: tokens, echo, request: maxNewTokens === 0 ? undefined : request };
    }),
  );
  return served({
    choices,
    promptTokens: prompts.reduce((sum, { tokens }) => sum + tokens.length, 0),
    stop: fields.stop,
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    tokenIds: fields.return_token_ids ?? tokenizer === undefined,
  });
}

/** A request that could never have its turn, as it asks for more texts than may wait. */
export function tooManyChoices(prompts: number, n: number | null | undefined, most: number): Problem | undefined {
  const choices = prompts * (n ?? 1);
  if (choices <= most) return undefined;
  const message = `The request asks for ${choices} texts; this server takes ${most} at once.`;
  return { message, param: prompts > 1 ? 'prompt' : 'n', code: 'too_many_choices' };
}

function modelProblems(asked: string | null | undefined, name: string): readonly Problem[] {
  if (asked === undefined || asked === null || asked === name) return [];
  const shown = asked.length > 200 ? `${asked.slice(0, 200)}…` : asked;
  const message = `The model "${shown}" does not exist. This server has "${name}".`;
  return [{ message, param: 'model', code: 'model_not_found' }];
}

function fieldProblems(fields: GenerationFields, loops: number, hasText: boolean): readonly Problem[] {
  const problems: Problem[] = [];
  const wrong = (param: string, message: string) => problems.push({ message, param, code: 'invalid_value' });
  if (fields.stream_options && !fields.stream) {
    wrong('stream_options', '"stream_options" goes with "stream": true only.');
  }
  const rules = (['exit_threshold', 'exit_at', 'mean_loops'] as const).filter(
    (name) => typeof fields[name] === 'number',
  );
  if (rules.length > 1) {
    const names = rules.map((name) => `"${name}"`).join(' and ');
    wrong(rules[1]!, `${names} do not go together: each decides alone.`);
  }
  if ((fields.exit_at ?? 1) > loops) {
    wrong('exit_at', `There is no loop ${fields.exit_at} to exit at; the model has loops 1 to ${loops}.`);
  }
  if (!hasText && fields.stop.length > 0) {
    wrong('stop', 'The model has no tokenizer, so there is no text to look for stop strings in.');
  }
  return problems;
}

/** New tokens that a prompt has room for. The last token is never read, so it needs no position. */
function roomFor(positions: number, prompt: number): number {
  return positions - prompt + 1;
}

function lengthProblems(
  { tokens, param }: TokenPrompt,
  maxTokens: number | undefined,
  positions: number,
): readonly Problem[] {
  const code = 'context_length_exceeded';
  if (tokens.length === 0) {
    return [
      { message: `"${param}" has no tokens; a model needs at least one to go on from.`, param, code: 'empty_prompt' },
    ];
  }
  if (tokens.length > positions) {
    const message = `This model's maximum context length is ${positions} tokens, and "${param}" has ${tokens.length}.`;
    return [{ message, param, code }];
  }
  const room = roomFor(positions, tokens.length);
  if (maxTokens === undefined || maxTokens <= room) return [];
  const message =
    `This model's maximum context length is ${positions} tokens. "${param}" has ${tokens.length} and ${maxTokens} new ones ` +
    `were requested; ask for at most ${room}.`;
  return [{ message, param, code }];
}

function sampling(fields: GenerationFields, seed: number): Sampling {
  const temperature = fields.temperature ?? 1;
  const topP = fields.top_p ?? 1;
  // Either leaves the likeliest token alone.
  if (temperature === 0 || topP === 0) return { kind: 'greedy' };
  return { kind: 'sample', temperature, topP, seed, ...(fields.top_k == null ? {} : { topK: fields.top_k }) };
}

function exitRule(fields: GenerationFields): ExitRule | undefined {
  const { exit_threshold: threshold, exit_at: loop, mean_loops: meanLoops } = fields;
  if (typeof loop === 'number') return { kind: 'fixed', loop };
  if (typeof meanLoops === 'number') return { kind: 'budget', meanLoops };
  if (typeof threshold === 'number') return { kind: 'threshold', threshold };
  return undefined;
}

import { exponential } from '../exponential.ts';
import { chooseToken } from '../sampling.ts';
import type { TokenEvent } from './core.ts';
import type { FinishReason } from './request.ts';
import type { Sequence } from './sequence.ts';
import type { StepResult } from './step-model.ts';

/** Whether the sequence's next token needs its logits, and not only the likeliest token. */
export function needsLogits({ request, tokens }: Sequence): boolean {
  return request.sampling?.kind === 'sample' || request.forced?.[tokens.length] !== undefined;
}

/**
 * Chooses the sequence's next token and adds it.
 * @param head place of the head that it is chosen by, among those of the step
 * @param exit loop behind which that is
 */
export function addToken(
  sequence: Sequence,
  result: StepResult,
  head: number,
  exit: number,
  endTokens: ReadonlySet<number>,
): TokenEvent {
  const { request, tokens, exits } = sequence;
  const { sampling = { kind: 'greedy' } } = request;
  const likeliest = result.likeliest[head]!;
  const token =
    sampling.kind === 'greedy' ? likeliest : chooseToken(result.logits(head), sampling, 0, tokens.length, likeliest);
  const forced = request.forced?.[tokens.length];
  const added = forced ?? token;
  tokens.push(added);
  exits.push(exit);
  const finished = finishReason(sequence, added, endTokens);
  return {
    request: sequence.id,
    token,
    exit,
    confidence: result.confidence[head]!,
    ...(forced === undefined ? {} : { forcedLogProbability: logProbability(result.logits(head), forced) }),
    ...(finished === undefined ? {} : { finished }),
  };
}

function finishReason(
  { request, tokens }: Sequence,
  token: number,
  endTokens: ReadonlySet<number>,
): FinishReason | undefined {
  if (endTokens.has(token) && !request.ignoreEos) return 'stop';
  return tokens.length === request.maxNewTokens ? 'length' : undefined;
}

function logProbability(logits: Float32Array, token: number): number {
  let peak = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > peak) peak = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += exponential(logits[i]! - peak);
  return logits[token]! - peak - Math.log(sum);
}

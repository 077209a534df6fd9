import type { Diagnostic } from '../../files/diagnostics.ts';
import { checkExitRule } from '../check-exit-rule.ts';
import { checkNumbers, checkPrompt, checkTokens } from '../check-prompt.ts';
import type { GenerationRequest } from '../depth-batched/request.ts';

/** What an engine can serve. */
export interface RequestLimits {
  readonly vocabulary: number;
  readonly loops: number;
  /** Positions that a sequence may have. */
  readonly positions: number;
  /** Whose positions these are: an engine may have fewer than its model. */
  readonly whose: 'model' | 'engine';
}

/**
 * What is wrong with a request that no waiting would mend, all of it.
 * @param name what messages call its prompt, at the start of a sentence
 */
export function checkRequest(
  limits: RequestLimits,
  request: GenerationRequest,
  name = 'The prompt',
): readonly Diagnostic[] {
  const { prompt, maxNewTokens, sampling, exit, forced = [] } = request;
  return [
    ...checkPrompt(limits, prompt, maxNewTokens, name),
    ...checkTokens(limits.vocabulary, forced, 'The list of forced tokens'),
    ...checkNumbers(maxNewTokens, sampling),
    ...(exit === undefined ? [] : checkExitRule(exit, limits.loops)),
  ];
}

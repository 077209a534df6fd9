import type { Diagnostic } from '../files/diagnostics.ts';
import type { Sampling } from './sampling.ts';

/** What bounds a prompt; infinite where nothing does. */
export interface PromptLimits {
  readonly vocabulary: number;
  /** Positions for the prompt and all new tokens but the last, which is never read. */
  readonly positions: number;
  /** Whose positions these are. */
  readonly whose: 'model' | 'engine';
}

/**
 * What is wrong with a prompt and the number of new tokens behind it.
 * @param name how messages call it, at the start of a sentence
 */
export function checkPrompt(
  { vocabulary, positions, whose }: PromptLimits,
  prompt: readonly number[],
  maxNewTokens: number | undefined,
  name: string,
): readonly Diagnostic[] {
  if (prompt.length === 0) {
    return [problem('empty-prompt', `${name} has no tokens.`, 'A model needs at least one token to go on from.')];
  }
  const problems = [...checkTokens(vocabulary, prompt, name)];
  const room = positions - prompt.length + 1;
  const more = whose === 'engine' ? ['Give the engine more memory for pages (pageBytes).'] : [];
  if (prompt.length > positions) {
    problems.push(
      problem(
        'prompt-too-long',
        `${name} has ${prompt.length} tokens; the ${whose} has ${positions} positions.`,
        ...more,
      ),
    );
  } else if (maxNewTokens !== undefined && maxNewTokens > room) {
    problems.push(
      problem(
        'too-many-tokens',
        `${name} has ${prompt.length} tokens and ${maxNewTokens} new ones were asked for; ` +
          `the ${whose} has ${positions} positions.`,
        [`Ask for at most ${room} new tokens.`, ...more].join(' '),
      ),
    );
  }
  return problems;
}

/** Tokens that the vocabulary does not have. */
export function checkTokens(vocabulary: number, tokens: readonly number[], name: string): readonly Diagnostic[] {
  const strange = tokens.filter((token) => !Number.isInteger(token) || token < 0 || token >= vocabulary);
  if (strange.length === 0) return [];
  const known = Number.isFinite(vocabulary)
    ? `the vocabulary goes from 0 to ${vocabulary - 1}`
    : 'token ids are whole numbers';
  return [problem('unknown-token', `${name} has the token ${strange.slice(0, 5).join(', ')}; ${known}.`)];
}

/** What is wrong with the number of new tokens, alone, and with how they are chosen. */
export function checkNumbers(maxNewTokens: number | undefined, sampling: Sampling | undefined): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  const expect = (holds: boolean, what: string, found: number | undefined, expected: string) => {
    if (found === undefined || holds) return;
    problems.push(problem('bad-option', `${what} is ${found}; ${expected} was expected.`));
  };
  const atLeastOne = (n: number | undefined) => n !== undefined && Number.isInteger(n) && n >= 1;
  expect(atLeastOne(maxNewTokens), 'The number of new tokens', maxNewTokens, 'a whole number of at least 1');
  if (sampling?.kind !== 'sample') return problems;
  const { temperature, topK, topP, seed } = sampling;
  const finite = temperature !== undefined && Number.isFinite(temperature) && temperature > 0;
  expect(finite, 'The temperature', temperature, 'a number above 0');
  expect(atLeastOne(topK), 'top-k', topK, 'a whole number of at least 1');
  expect(topP !== undefined && topP > 0 && topP <= 1, 'top-p', topP, 'a number above 0 and at most 1');
  expect(Number.isSafeInteger(seed), 'The seed', seed, 'a whole number');
  return problems;
}

export function problem(code: string, message: string, hint?: string): Diagnostic {
  return { severity: 'error', code, message, ...(hint === undefined ? {} : { hint }) };
}

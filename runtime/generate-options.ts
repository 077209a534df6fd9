import type { Diagnostic } from '../files/diagnostics.ts';
import type { PackageManifest } from '../files/manifest.ts';
import type { Sampling } from './sampling.ts';

/** How {@link generate} goes on from its prompts. */
export interface GenerateOptions {
  /** At most this many new tokens a sequence; by default 64, or as many as the model has positions for. */
  readonly maxNewTokens?: number;
  /** Greedy by default. */
  readonly sampling?: Sampling;
  /** Goes on past end-of-sequence tokens. */
  readonly ignoreEos?: boolean;
  /**
   * Form `loop`: a new token leaves behind the first exit whose confidence reaches this; 1 or more never leaves.
   * By default the model's own. Prompt tokens run all loops.
   */
  readonly exitThreshold?: number;
  /** Form `loop`: every new token leaves after exactly this loop (from 1), whatever its confidence. */
  readonly exitAt?: number;
  /** Where shorter prompts of a batch are filled up; `left` by default. The results are the same. */
  readonly padding?: 'left' | 'right';
  /** Stops between two tokens; the generator then throws the signal's reason. */
  readonly signal?: AbortSignal;
}

/** New tokens when nobody says how many. */
export const defaultNewTokens = 64;

/** What is wrong with prompts or options for this package, all of it; empty when {@link generate} can start. */
export function checkGeneration(
  manifest: PackageManifest,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): readonly Diagnostic[] {
  return [
    ...(prompts.length === 0 ? [problem('no-prompt', 'There is no prompt to go on from.')] : []),
    ...prompts.flatMap((prompt, i) => checkPrompt(manifest, prompt, i, options.maxNewTokens)),
    ...checkNumbers(options),
    ...checkExits(manifest, options),
  ];
}

/** Positions that the model was made for; unlimited when its config does not say. */
export function maxPositions(manifest: PackageManifest): number {
  const positions = manifest.config.max_position_embeddings;
  return typeof positions === 'number' && positions > 0 ? positions : Number.POSITIVE_INFINITY;
}

/**
 * New tokens that a prompt has room for. The last token is never read, so it needs no position.
 */
export function roomFor(manifest: PackageManifest, promptLength: number): number {
  return maxPositions(manifest) - promptLength + 1;
}

function checkPrompt(
  manifest: PackageManifest,
  prompt: readonly number[],
  index: number,
  maxNewTokens: number | undefined,
): readonly Diagnostic[] {
  const name = `Prompt ${index + 1}`;
  if (prompt.length === 0) {
    return [problem('empty-prompt', `${name} has no tokens.`, 'A model needs at least one token to go on from.')];
  }
  const problems: Diagnostic[] = [];
  const vocabulary = manifest.config.vocab_size;
  const size = typeof vocabulary === 'number' ? vocabulary : Number.POSITIVE_INFINITY;
  const strange = prompt.filter((token) => !Number.isInteger(token) || token < 0 || token >= size);
  if (strange.length > 0) {
    const known = Number.isFinite(size) ? `the vocabulary goes from 0 to ${size - 1}` : 'token ids are whole numbers';
    problems.push(problem('unknown-token', `${name} has the token ${strange.slice(0, 5).join(', ')}; ${known}.`));
  }
  const positions = maxPositions(manifest);
  if (prompt.length > positions) {
    problems.push(
      problem('prompt-too-long', `${name} has ${prompt.length} tokens; the model has ${positions} positions.`),
    );
  } else if (maxNewTokens !== undefined && maxNewTokens > roomFor(manifest, prompt.length)) {
    problems.push(
      problem(
        'too-many-tokens',
        `${name} has ${prompt.length} tokens and ${maxNewTokens} new ones were asked for; ` +
          `the model has ${positions} positions.`,
        `Ask for at most ${roomFor(manifest, prompt.length)} new tokens.`,
      ),
    );
  }
  return problems;
}

function checkNumbers({ maxNewTokens, sampling }: GenerateOptions): readonly Diagnostic[] {
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

function checkExits(manifest: PackageManifest, { exitThreshold, exitAt }: GenerateOptions): readonly Diagnostic[] {
  const { loops } = manifest.recursion;
  const problems: Diagnostic[] = [];
  if (exitThreshold !== undefined && Number.isNaN(exitThreshold)) {
    problems.push(problem('bad-option', 'The exit threshold is not a number.'));
  }
  if (exitThreshold !== undefined && exitAt !== undefined) {
    problems.push(
      problem('bad-option', 'An exit threshold and a loop to exit at were both given; one of them decides.'),
    );
  }
  if (exitAt !== undefined && !(Number.isInteger(exitAt) && exitAt >= 1 && exitAt <= loops)) {
    problems.push(problem('bad-option', `There is no loop ${exitAt} to exit at; the model has loops 1 to ${loops}.`));
  } else if (exitAt !== undefined && exitAt < loops && manifest.form === 'unrolled') {
    problems.push(
      problem(
        'exit-needs-loop-form',
        `The form "unrolled" always runs all ${loops} loops, so no token can exit at loop ${exitAt}.`,
        'Compile the model with --form loop.',
      ),
    );
  }
  return problems;
}

function problem(code: string, message: string, hint?: string): Diagnostic {
  return { severity: 'error', code, message, ...(hint === undefined ? {} : { hint }) };
}

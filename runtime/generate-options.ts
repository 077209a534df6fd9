import type { Diagnostic } from '../files/diagnostics.ts';
import type { PackageManifest } from '../files/manifest.ts';
import { checkExitRule } from './check-exit-rule.ts';
import { checkNumbers, checkPrompt, type PromptLimits, problem } from './check-prompt.ts';
import type { ExitRule } from './depth-batched/request.ts';
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
   * A new token leaves behind the first exit whose confidence reaches this; 1 or more never leaves. By default the
   * model's own. Prompt tokens run all loops. The form `unrolled` always runs all loops.
   */
  readonly exitThreshold?: number;
  /** Every new token leaves after exactly this loop (from 1), whatever its confidence. Not in the form `unrolled`. */
  readonly exitAt?: number;
  /**
   * Form `depth-batched`: new token i of sequence s is chosen behind loop `exitTraces[s][i]`, as `exits` of an earlier
   * {@link Generation} says. Entry 0 is not read, and tokens past the end run all loops.
   */
  readonly exitTraces?: readonly (readonly number[])[];
  /** Form `depth-batched`: the threshold moves so that tokens run this many loops on average. */
  readonly meanLoops?: number;
  /** Where shorter prompts of a batch are filled up, if the form needs that; `left` by default. The results are the same. */
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
    ...prompts.flatMap((prompt, i) =>
      checkPrompt(modelLimits(manifest), prompt, options.maxNewTokens, `Prompt ${i + 1}`),
    ),
    ...checkNumbers(options.maxNewTokens, options.sampling),
    ...checkExits(manifest, prompts.length, options),
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

function modelLimits(manifest: PackageManifest): PromptLimits {
  const vocabulary = manifest.config.vocab_size;
  return {
    vocabulary: typeof vocabulary === 'number' ? vocabulary : Number.POSITIVE_INFINITY,
    positions: maxPositions(manifest),
    whose: 'model',
  };
}

/** What the options say of exits, for one sequence; undefined: nothing. */
export function exitRule(options: GenerateOptions, sequence: number): ExitRule | undefined {
  const { exitThreshold, exitAt, exitTraces, meanLoops } = options;
  if (exitThreshold !== undefined) return { kind: 'threshold', threshold: exitThreshold };
  if (exitAt !== undefined) return { kind: 'fixed', loop: exitAt };
  if (exitTraces !== undefined) return { kind: 'trace', exits: exitTraces[sequence]! };
  return meanLoops === undefined ? undefined : { kind: 'budget', meanLoops };
}

function checkExits(manifest: PackageManifest, sequences: number, options: GenerateOptions): readonly Diagnostic[] {
  const { form } = manifest;
  const given = (['exitThreshold', 'exitAt', 'exitTraces', 'meanLoops'] as const).filter(
    (name) => options[name] !== undefined,
  );
  if (given.length > 1) return [problem('bad-option', `${given.join(' and ')} were both given; one of them decides.`)];
  const { exitThreshold, exitTraces, meanLoops, exitAt } = options;
  if (Number.isNaN(exitThreshold)) return [problem('bad-option', 'The exit threshold is not a number.')];
  if ((exitTraces ?? meanLoops) !== undefined && form !== 'depth-batched') {
    return [
      problem(
        'exit-needs-depth-batched',
        `The form "${form}" has neither exit traces nor mean loops.`,
        'Compile the model with --form depth-batched.',
      ),
    ];
  }
  if (exitTraces !== undefined && exitTraces.length !== sequences) {
    return [problem('bad-option', `There are ${exitTraces.length} exit traces for ${sequences} sequences.`)];
  }
  const { loops } = manifest.recursion;
  const rules = Array.from({ length: exitTraces ? sequences : 1 }, (_, i) => exitRule(options, i));
  const problems = rules.flatMap((rule) => (rule === undefined ? [] : checkExitRule(rule, loops)));
  if (problems.length > 0 || exitAt === undefined || exitAt === loops || form !== 'unrolled') return problems;
  return [
    problem(
      'exit-needs-loop-form',
      `The form "unrolled" always runs all ${loops} loops, so no token can exit at loop ${exitAt}.`,
      'Compile the model with --form depth-batched.',
    ),
  ];
}

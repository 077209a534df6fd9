import type { Diagnostic } from '../../files/diagnostics.ts';
import { isMemorySize } from '../../targets/tensorrt/trtexec/settings-problems.ts';
import { formatVersion, oldestVersion, parseVersion } from '../../targets/tensorrt/versions.ts';
import type { CompileOptions, Form } from '../compile-options.ts';
import type { TensorrtOptions } from './tensorrt-options.ts';

/** Which values an option takes, in words and as a test. `rtc compile` says the same of its flags. */
export interface OptionRule {
  readonly expected: string;
  readonly holds: (value: number) => boolean;
}

const wholeUpTo = (most: number): OptionRule => ({
  expected: `a whole number from 1 to ${most}`,
  holds: (value) => Number.isInteger(value) && value >= 1 && value <= most,
});

/** Options that are numbers. Sizes end where TensorRT's do: a dimension has 31 bits, and so has all that trtexec reads. */
export const numberRules = {
  maxRows: wholeUpTo(65_536),
  maxContext: wholeUpTo(2 ** 24),
  prefillChunk: wholeUpTo(2 ** 20),
  meanLoops: { expected: 'a number of at least 1', holds: (value) => value >= 1 && value < Number.POSITIVE_INFINITY },
  optimizationLevel: {
    expected: 'a whole number from 0 to 5',
    holds: (value) => Number.isInteger(value) && value >= 0 && value <= 5,
  },
  buildTimeout: {
    // Timers of Node end at 2^31 milliseconds.
    expected: 'a number of seconds, above 0 and below 2,000,000',
    holds: (value) => value > 0 && value < 2_000_000,
  },
} as const satisfies Partial<Record<keyof TensorrtOptions, OptionRule>>;

/** Shares of exits that can be some: of each loop one, none below 0, and all of them 1. */
export function areShares(shares: readonly number[]): boolean {
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.length > 0 && shares.every((share) => share >= 0 && share <= 1) && Math.abs(sum - 1) <= 1e-6;
}

/** What {@link areShares} takes. */
export const sharesExpected = 'a number from 0 to 1 for each loop, 1 in all';

/** A version that graphs can be written for. */
export function isVersion(text: string): boolean {
  const version = parseVersion(text);
  return version !== undefined && version.major >= oldestVersion.major;
}

/** What {@link isVersion} takes. */
export const versionExpected = `a version from ${formatVersion(oldestVersion)} on, such as 10.16`;

/** A SHA-256 as it is written. */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** What {@link isSha256} takes. */
export const sha256Expected = 'a SHA-256, which has 64 digits and letters from a to f';

/** What `isMemorySize` takes. */
export const memorySizeExpected = 'a size with B, K, M or G behind it, such as 4G';

/** What is wrong with options of the target tensorrt, before a model or trtexec is looked at. */
export function tensorrtProblems(options: CompileOptions, form: Form): readonly Diagnostic[] {
  const { target = 'onnx', tensorrt, dialect, layout } = options;
  const problems: Diagnostic[] = [];
  const error = (code: string, message: string, hint: string) =>
    problems.push({ severity: 'error', code, message, hint });
  if (target === 'onnx') {
    if (tensorrt !== undefined)
      error('no-tensorrt', 'Options of TensorRT are given, and the target is "onnx".', 'Use the target "tensorrt".');
    return problems;
  }
  if (form === 'loop') {
    const message = `The form "loop" has a Loop that ends by a condition, which the target "${target}" does not take.`;
    error('no-loop-form', message, 'Use the form "depth-batched", whose loop its host drives, or "unrolled".');
  }
  if (dialect !== undefined && target === 'tensorrt')
    error('no-dialect', 'The target "tensorrt" has a dialect of its own.', 'Leave the dialect out.');
  if (layout === 'huggingface') {
    error(
      'no-hugging-face-layout',
      `The layout "huggingface" is for the target "onnx", not "${target}".`,
      'Leave it out.',
    );
  }
  if (tensorrt !== undefined) valueProblems(tensorrt, form, error);
  return problems;
}

function valueProblems(
  options: TensorrtOptions,
  form: Form,
  error: (code: string, message: string, hint: string) => void,
): void {
  const invalid = (option: keyof TensorrtOptions, expected: string) =>
    error('invalid-option', `The option "${option}" is ${JSON.stringify(options[option])}.`, `Give ${expected}.`);
  for (const [option, { expected, holds }] of Object.entries(numberRules)) {
    const value = options[option as keyof typeof numberRules];
    if (value !== undefined && !holds(value)) invalid(option as keyof typeof numberRules, expected);
  }
  const { tensorrtVersion, attention, exitShares, meanLoops, workspace, timingCacheSha256, timingCache } = options;
  if (tensorrtVersion !== undefined && !isVersion(tensorrtVersion)) invalid('tensorrtVersion', versionExpected);
  if (attention !== undefined && !['auto', 'native', 'parts'].includes(attention))
    invalid('attention', 'auto, native or parts');
  if (exitShares !== undefined && !areShares(exitShares)) invalid('exitShares', sharesExpected);
  if (exitShares !== undefined && meanLoops !== undefined)
    error('invalid-option', '"exitShares" and "meanLoops" both say where tokens leave.', 'Give one of them.');
  if (form !== 'depth-batched' && (exitShares !== undefined || meanLoops !== undefined)) {
    const message = `In the form "${form}" tokens leave nowhere, and shares of exits are given.`;
    error('no-exits', message, 'Use the form "depth-batched".');
  }
  if (workspace !== undefined && !isMemorySize(workspace)) invalid('workspace', memorySizeExpected);
  if (timingCacheSha256 !== undefined && !isSha256(timingCacheSha256)) invalid('timingCacheSha256', sha256Expected);
  if (timingCacheSha256 !== undefined && timingCache === undefined) {
    const message = '"timingCacheSha256" says which timing cache to start from, and none is given.';
    error('invalid-option', message, 'Give "timingCache" as well.');
  }
}

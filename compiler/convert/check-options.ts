import { initialBlocks } from '../../convert/initial-block.ts';
import { sharingNames } from '../../convert/sharing.ts';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { didYouMean } from '../../files/did-you-mean.ts';
import type { ConvertOptions } from './convert-options.ts';

const choices = {
  sharing: sharingNames,
  init: initialBlocks,
  norms: ['shared', 'per-depth'],
  loraInit: ['svd', 'zero'],
  dtype: ['f32', 'f16', 'bf16'],
} as const satisfies Partial<Record<keyof ConvertOptions, readonly string[]>>;

/** Options that rtc does not know, or that exclude each other: what can be said before a model is read. */
export function checkOptions(options: ConvertOptions): readonly Diagnostic[] {
  const { loops, sharing, init, layers, lora, loraInit, threads, shardBytes } = options;
  const wrong: Diagnostic[] = [];
  const error = (code: string, message: string, hint?: string) =>
    wrong.push({ severity: 'error', code, message, ...(hint === undefined ? {} : { hint }) });
  // Types end where JavaScript calls.
  for (const [option, known] of Object.entries(choices)) {
    const found: unknown = options[option as keyof typeof choices];
    if (found === undefined || (option === 'sharing' && Array.isArray(found))) continue;
    if ((known as readonly unknown[]).includes(found)) continue;
    const near = typeof found === 'string' ? didYouMean(found, known) : '';
    error(
      'unknown-choice',
      `The option "${option}" is ${JSON.stringify(found)}.${near}`,
      `Choose one of ${known.join(', ')}.`,
    );
  }
  const count = (option: string, value: unknown, least: number) => {
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= least)) return;
    const message = `The option "${option}" is ${JSON.stringify(value)}; a whole number from ${least} was expected.`;
    error('invalid-option', message);
  };
  const numbers = (option: string, value: unknown) => {
    if (Array.isArray(value) && value.length > 0 && value.every((n) => Number.isSafeInteger(n) && n >= 0)) return;
    error('invalid-option', `The option "${option}" is ${JSON.stringify(value)}; numbers of layers were expected.`);
  };
  count('loops', loops, 2);
  count('threads', threads, 1);
  count('shardBytes', shardBytes, 1);
  if (layers !== undefined) numbers('layers', layers);
  if (Array.isArray(sharing)) {
    numbers('sharing', sharing);
    if (loops !== undefined) {
      const message = 'A list of layers says how often each runs, so "loops" cannot say it too.';
      error('contradiction', message, 'Leave "loops" out.');
    }
  } else if (loops === undefined) {
    error('missing-option', 'How often the shared block runs is not said.', 'Give "loops", from 2.');
  }
  if (layers !== undefined && init !== undefined) {
    error('contradiction', '"layers" and "init" both say what the block starts as.', 'Leave one of them out.');
  }
  if (lora === undefined) {
    if (loraInit !== undefined) {
      error('contradiction', '"loraInit" says how factors start, and there are none.', 'Give a rank, or leave it out.');
    }
    return wrong;
  }
  if ('parameters' in lora) {
    const { parameters } = lora;
    if (!(Number.isFinite(parameters) && parameters > 0)) {
      const message = `The option "parameters" is ${JSON.stringify(parameters)}; a share of the original's layers was expected.`;
      error('invalid-option', message, 'Give a number such as 0.6.');
    }
    if ('rank' in lora) error('contradiction', 'Ranks are given, and to be found by "parameters".', 'Leave one out.');
  }
  if (loraInit === 'zero' && ('parameters' in lora || lora.calibration !== undefined)) {
    const what = 'parameters' in lora ? 'Ranks are found' : 'A calibration text is used';
    const message = `${what} by what factors bring back, and factors that start at zero bring nothing back.`;
    error('contradiction', message, 'Leave "loraInit" out.');
  }
  return wrong;
}

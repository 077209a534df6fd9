import type { Diagnostic } from '../files/diagnostics.ts';
import { didYouMean } from '../files/did-you-mean.ts';
import type { CompileOptions, Form } from './compile-options.ts';
import { tensorrtProblems } from './tensorrt/option-problems.ts';
import type { TensorrtOptions } from './tensorrt/tensorrt-options.ts';
import { repositoryProblems } from './triton/repository-problems.ts';

const choices = {
  target: ['onnx', 'tensorrt', 'triton'],
  form: ['depth-batched', 'loop', 'unrolled'],
  dialect: ['portable', 'ort'],
  precision: ['f32', 'f16', 'bf16'],
  lora: ['auto', 'bake', 'keep', 'concatenate', 'gather'],
  layout: ['rtc', 'huggingface'],
} as const satisfies Partial<Record<keyof CompileOptions, readonly string[]>>;

const known = {
  ...{ model: true, target: true, form: true, pageSize: true, attentionGroups: true, dialect: true, tensorrt: true },
  ...{ env: true, out: true, precision: true, lora: true, exitLogits: true, writeWeights: true, layout: true },
  ...{ bindings: true, copyWeights: true, checksum: true, verifyEach: true, stopAfter: true, onDump: true },
  ...{ onDebug: true, onDiagnostic: true, onProgress: true, signal: true },
} as const satisfies Record<keyof CompileOptions, true>;

const knownForTensorrt = {
  ...{ tensorrtVersion: true, attention: true, maxRows: true, maxContext: true, prefillChunk: true, exitShares: true },
  ...{ meanLoops: true, separateEngines: true, build: true, trtexec: true, buildTimeout: true, timingCache: true },
  ...{ timingCacheSha256: true, cacheDir: true, trtexecArguments: true, tf32: true, optimizationLevel: true },
  ...{ workspace: true, versionCompatible: true, hardwareCompatibility: true, stripWeights: true },
  ...{ weightStreaming: true, errorOnTimingCacheMiss: true },
} as const satisfies Record<keyof TensorrtOptions, true>;

/** Names of options that nobody would look at; what is undefined is not given. */
function unknownOptions(options: object, names: object, of: string): readonly Diagnostic[] {
  return Object.entries(options).flatMap(([option, value]): readonly Diagnostic[] => {
    if (value === undefined || Object.hasOwn(names, option)) return [];
    const message = `There is no option "${of}${option}".${didYouMean(option, Object.keys(names))}`;
    return [{ severity: 'error', code: 'unknown-option', message, hint: 'Leave it out.' }];
  });
}

/** Options that rtc does not know, or that exclude each other. */
export function contradictions(options: CompileOptions, form: Form): readonly Diagnostic[] {
  const { exitLogits, layout, lora, pageSize, attentionGroups } = options;
  const wrong: Diagnostic[] = [];
  const error = (code: string, message: string, hint: string) => wrong.push({ severity: 'error', code, message, hint });
  // Types end where JavaScript calls.
  for (const [option, all] of Object.entries(choices)) {
    const found = options[option as keyof typeof choices];
    if (found === undefined || (all as readonly string[]).includes(found)) continue;
    error('unknown-choice', `The option "${option}" is ${JSON.stringify(found)}.`, `Choose one of ${all.join(', ')}.`);
  }
  if (exitLogits && form !== 'unrolled') {
    const has = form === 'loop' ? 'has its exits inside' : 'leaves exits to whoever runs it';
    error('no-exit-logits', `The form "${form}" ${has} and gives no exit logits.`, 'Use the form "unrolled".');
  }
  if (layout === 'huggingface' && form !== 'unrolled') {
    const message = `The layout "huggingface" is for runtimes that know no loops, and the form is "${form}".`;
    error('no-hugging-face-layout', message, 'Use the form "unrolled".');
  }
  if (lora === 'bake' && form === 'depth-batched') {
    const message =
      'LoRA that is baked gives every loop weights of its own, and the form "depth-batched" has them once.';
    error('no-baked-lora', message, 'Choose concatenate, keep, gather or auto, or the form "unrolled".');
  }
  if (lora === 'gather' && form !== 'depth-batched') {
    const message = `Factors are looked up for every row only in the form "depth-batched", and the form is "${form}".`;
    error('no-gathered-lora', message, 'Choose concatenate, keep or auto.');
  }
  if ((pageSize !== undefined || attentionGroups !== undefined) && form !== 'depth-batched') {
    const option = pageSize === undefined ? 'attentionGroups' : 'pageSize';
    const message = `The option "${option}" is for caches in pages, and the form "${form}" has none.`;
    error('no-pages', message, 'Use the form "depth-batched".');
  }
  if (pageSize !== undefined && !isPageSize(pageSize)) {
    error('invalid-option', `The option "pageSize" is ${JSON.stringify(pageSize)}.`, `Give ${pageSizes}.`);
  }
  if (attentionGroups !== undefined && !isGroupCount(attentionGroups)) {
    error(
      'invalid-option',
      `The option "attentionGroups" is ${JSON.stringify(attentionGroups)}.`,
      `Give ${groupCounts}.`,
    );
  }
  const unknown = [
    ...unknownOptions(options, known, ''),
    ...unknownOptions(options.tensorrt ?? {}, knownForTensorrt, 'tensorrt.'),
  ];
  return [...unknown, ...wrong, ...tensorrtProblems(options, form), ...repositoryProblems(options, form)];
}

/** What a page may have; see {@link isPageSize}. */
export const pageSizes = 'a multiple of 16 from 16 to 65536';

/** Multiples of 16: then a row's numbers do not depend on the width that its pages are padded to. */
export function isPageSize(value: number): boolean {
  return Number.isInteger(value) && value >= 16 && value <= 65_536 && value % 16 === 0;
}

/** See {@link isGroupCount}. */
export const groupCounts = 'a whole number from 1 to 16';

/** Each group costs a layer some dozens of small operations, and gains nothing beyond a few. */
export function isGroupCount(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 16;
}

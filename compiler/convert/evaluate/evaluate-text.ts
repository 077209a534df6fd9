import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { isPackage, mainGraph, readPackage } from '../../../files/package.ts';
import { openSession, RuntimeFailure } from '../../../runtime/session.ts';
import type { Progress } from '../../compile-options.ts';
import { readModel } from '../../read/read-model.ts';
import type { SourceModel } from '../../read/source-model.ts';
import { type EvaluationText, type EvaluationTextOptions, readEvaluationText } from './evaluation-text.ts';
import { scoreWindows, type TextScore } from './score-windows.ts';
import { writeUnrolled } from './unrolled-package.ts';

export interface EvaluateOptions extends EvaluationTextOptions {
  /** Where a model is compiled to, in a folder that is removed afterwards; the system's temporary folder. */
  readonly scratch?: string | undefined;
  /** Threads of ONNX Runtime; all cores by default. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * How well models know a text: mean negative log-likelihood in nats a token, over windows that share none, the first
 * token of each given. Computed in float32 on ONNX Runtime through the models' own graphs, compiled in the form unrolled;
 * a package of that form runs as it is. Of a chain of models every one reads the same tokens, those that the first one's
 * tokenizer makes.
 * @param models folders as `compile` takes them, or packages; at least one
 */
export async function evaluateText(
  models: readonly string[],
  text: string,
  options: EvaluateOptions = {},
): Promise<Result<readonly TextScore[]>> {
  const read: { readonly folder: string; readonly model: SourceModel }[] = [];
  for (const folder of models) {
    const model = await readModel(folder, options.signal ? { signal: options.signal } : {});
    if (!model.ok) return model;
    read.push({ folder, model: model.value });
  }
  const shortest = read.reduce((least, each) =>
    each.model.spec.maxPositions < least.model.spec.maxPositions ? each : least,
  );
  const spec = { ...read[0]!.model.spec, maxPositions: shortest.model.spec.maxPositions };
  const windows = await readEvaluationText({ folder: read[0]!.model.folder, spec }, text, options);
  if (!windows.ok) return windows;
  const scores: TextScore[] = [];
  for (const { folder, model } of read) {
    const ready = await readyPackage(folder);
    const scored = await scoreModel(model, windows.value, { ...options, ready });
    if (!scored.ok) return scored;
    scores.push(scored.value);
  }
  return success(scores);
}

/** The folder, if it is a package of the form unrolled. */
async function readyPackage(folder: string): Promise<string | undefined> {
  if (!(await isPackage(folder))) return undefined;
  const read = await readPackage(folder, { check: 'sizes' });
  return read.ok && read.value.manifest.form === 'unrolled' ? folder : undefined;
}

/** Compiles a model into a folder that is there only meanwhile, and reads a text with it. */
export async function scoreModel(
  model: SourceModel,
  { windows }: EvaluationText,
  {
    scratch = tmpdir(),
    threads,
    signal,
    onProgress,
    ready,
    step = 'evaluate',
  }: EvaluateOptions & {
    /** A package of the form unrolled that is there already. */
    readonly ready?: string | undefined;
    /** What progress is told as. */
    readonly step?: string | undefined;
  },
): Promise<Result<TextScore>> {
  let made: string | undefined;
  try {
    onProgress?.({ step, done: 0, total: windows.length });
    made = await mkdtemp(join(resolve(scratch), '.rtc-evaluate-'));
    const found =
      ready === undefined
        ? await writeUnrolled(model, join(made, 'package'), signal)
        : await readPackage(ready, { check: 'sizes' });
    if (!found.ok) return found;
    const { folder, manifest } = found.value;
    const opened = await openSession(join(folder, mainGraph(manifest).file), threads === undefined ? {} : { threads });
    if (!opened.ok) return opened;
    try {
      const scored = await scoreWindows(opened.value, manifest, windows, {
        vocabulary: model.spec.vocabSize,
        signal,
        onWindows: (done, total) => onProgress?.({ step, done, total }),
      });
      return success(scored);
    } finally {
      await opened.value.close();
    }
  } catch (error) {
    if (signal?.aborted) return failure({ severity: 'error', code: 'interrupted', message: 'Interrupted.' });
    if (error instanceof RuntimeFailure) return failure(error.diagnostic);
    if ((error as NodeJS.ErrnoException).code !== undefined)
      return failure(fileDiagnostic(error, { file: scratch }, 'write'));
    throw error;
  } finally {
    if (made !== undefined) await rm(made, { recursive: true, force: true });
  }
}

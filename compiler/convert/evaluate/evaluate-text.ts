import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { isPackage, mainGraph, type Package, readPackage } from '../../../files/package.ts';
import { maxPositions } from '../../../runtime/generate-options.ts';
import { openSession, RuntimeFailure } from '../../../runtime/session.ts';
import type { Progress } from '../../compile-options.ts';
import { readModel } from '../../read/read-model.ts';
import type { SourceModel } from '../../read/source-model.ts';
import {
  type EvaluationText,
  type EvaluationTextOptions,
  readEvaluationText,
  type TextReader,
} from './evaluation-text.ts';
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
 * a package of that form runs as it is. Several models all read the same tokens, those that the first one's
 * tokenizer makes.
 * @param models folders as `compile` takes them, or packages; at least one
 */
export async function evaluateText(
  models: readonly string[],
  text: string,
  options: EvaluateOptions = {},
): Promise<Result<readonly TextScore[]>> {
  const read: Evaluated[] = [];
  for (const folder of models) {
    const found = await openEvaluated(folder, options.signal);
    if (!found.ok) return found;
    read.push(found.value);
  }
  const shortest = Math.min(...read.map(({ spec }) => spec.maxPositions));
  const { folder, spec } = read[0]!;
  const windows = await readEvaluationText({ folder, spec: { ...spec, maxPositions: shortest } }, text, options);
  if (!windows.ok) return windows;
  const scores: TextScore[] = [];
  for (const { package: ready, spec, model } of read) {
    const write = (out: string) => (model === undefined ? success(ready!) : writeUnrolled(model, out, options.signal));
    const scored = await scorePackage(write, windows.value, { ...options, vocabulary: spec.vocabSize });
    if (!scored.ok) return scored;
    scores.push(scored.value);
  }
  return success(scores);
}

/** A model to be compiled, or a package of the form unrolled. */
interface Evaluated extends TextReader {
  readonly model?: SourceModel;
  readonly package?: Package;
}

async function openEvaluated(folder: string, signal: AbortSignal | undefined): Promise<Result<Evaluated>> {
  if (await isPackage(folder)) {
    const read = await readPackage(folder, { check: 'sizes' });
    if (!read.ok) return read;
    const { manifest } = read.value;
    if (manifest.form === 'unrolled') {
      // Its weights may be the graph's own, so that there is no model any more.
      const vocabSize = Number(mainGraph(manifest).outputs.find(({ name }) => name === 'logits')?.dims[2]);
      return success({ folder, spec: { maxPositions: maxPositions(manifest), vocabSize }, package: read.value });
    }
  }
  const model = await readModel(folder, signal ? { signal } : {});
  return model.ok ? success({ folder: model.value.folder, spec: model.value.spec, model: model.value }) : model;
}

/** Compiles a model into a folder that is there only meanwhile, and reads a text with it. */
export function scoreModel(
  model: SourceModel,
  text: EvaluationText,
  options: EvaluateOptions & {
    /** What progress is told as. */
    readonly step?: string;
  },
): Promise<Result<TextScore>> {
  const write = (out: string) => writeUnrolled(model, out, options.signal);
  return scorePackage(write, text, { ...options, vocabulary: model.spec.vocabSize });
}

/** @param write makes a package of the form unrolled, in the folder it is given if there is none yet */
async function scorePackage(
  write: (out: string) => Result<Package> | Promise<Result<Package>>,
  { windows }: EvaluationText,
  {
    scratch = tmpdir(),
    threads,
    signal,
    onProgress,
    vocabulary,
    step = 'evaluate',
  }: EvaluateOptions & { readonly vocabulary: number; readonly step?: string },
): Promise<Result<TextScore>> {
  let made: string | undefined;
  try {
    onProgress?.({ step, done: 0, total: windows.length });
    made = await mkdtemp(join(resolve(scratch), '.rtc-evaluate-'));
    const found = await write(join(made, 'package'));
    if (!found.ok) return found;
    const { folder, manifest } = found.value;
    const opened = await openSession(join(folder, mainGraph(manifest).file), threads === undefined ? {} : { threads });
    if (!opened.ok) return opened;
    try {
      const onWindows = (done: number, total: number) => onProgress?.({ step, done, total });
      return success(await scoreWindows(opened.value, manifest, windows, { vocabulary, signal, onWindows }));
    } finally {
      await opened.value.close();
    }
  } catch (error) {
    if (signal?.aborted) return failure({ severity: 'error', code: 'interrupted', message: 'Interrupted.' });
    if (error instanceof RuntimeFailure) return failure(error.diagnostic);
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return failure(fileDiagnostic(error, { file: scratch }, 'write'));
  } finally {
    if (made !== undefined) await rm(made, { recursive: true, force: true });
  }
}

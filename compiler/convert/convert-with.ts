import { basename } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../files/diagnostics.ts';
import { inputsOf } from '../package/write-package.ts';
import { checkOptions } from './check-options.ts';
import { checkOutput } from './check-output.ts';
import { checkSpace } from './check-space.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { ConvertParts } from './convert-parts.ts';
import type { ConvertResult } from './convert-result.ts';
import { decomposeConversion } from './decompose-conversion.ts';
import { describeResult } from './describe-result.ts';
import { placeCheckpoint } from './place-checkpoint.ts';
import { type Conversion, neededTensors, planConversion } from './plan-conversion.ts';
import { scanWeights, usedTensors } from './scan-weights.ts';
import { openWorkFolder, type WorkFolder } from './work-folder.ts';

/** `convert` with what it needs of the outside. */
export async function convertWith(options: ConvertOptions, parts: ConvertParts): Promise<Result<ConvertResult>> {
  const wrong = checkOptions(options);
  if (wrong.length > 0) return failure(...wrong);
  let work: WorkFolder | undefined;
  try {
    const result = await run();
    return result.ok ? result : await left(result.diagnostics);
  } catch (error) {
    const told = await left([]);
    if (!options.signal?.aborted) throw error;
    return told;
  }

  /** What is said of a call that did not come to its end. */
  async function left(diagnostics: readonly Diagnostic[]): Promise<Result<never>> {
    const kept = (await work?.leave()) ? work?.path : undefined;
    if (options.signal?.aborted) return failure(interrupted(options.out, kept));
    return failure(...diagnostics, ...(kept === undefined ? [] : [keptNote(kept)]));
  }

  async function run(): Promise<Result<ConvertResult>> {
    const started = performance.now();
    const planned = await planConversion(options);
    if (!planned.ok) return planned;
    const refused = await checkOutput(options.out, inputsOf(planned.value.model));
    if (refused) return failure(refused);
    const crowded = await checkSpace(planned.value, options, parts);
    if (crowded) return failure(crowded);
    const hashes = await scanAll(planned.value, options);
    if (!hashes.ok) return hashes;
    // From here on something is written.
    const opened = await openWorkFolder(options.out, { restart: options.restart ?? false });
    if (!opened.ok) return opened;
    work = opened.value;
    const decomposed = await decomposeConversion(planned.value, options, { parts, work, hashes: hashes.value });
    if (!decomposed.ok) return decomposed;
    const written = await placeCheckpoint(planned.value, decomposed.value.matrices, options, work);
    if (!written.ok) return written;
    await work.remove();
    const seconds = (performance.now() - started) / 1000;
    const { resumed, matrices } = decomposed.value;
    const result = describeResult(planned.value, matrices, { ...options, files: written.value, resumed, seconds });
    return success(result, [...planned.diagnostics, ...written.diagnostics]);
  }
}

async function scanAll(
  { model }: Conversion,
  { dtype, signal, onProgress, model: shown }: ConvertOptions,
): Promise<Result<ReadonlyMap<string, string>>> {
  const used = usedTensors(model, neededTensors(model));
  const total = used.reduce((sum, { length }) => sum + length, 0);
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    onProgress?.({ step: 'check weights', done, total, unit: 'bytes' });
  };
  return scanWeights(used, { dtype, shown, signal, onBytes });
}

const goesOn = 'The same command goes on from there; --restart begins anew.';

function interrupted(out: string, kept: string | undefined): Diagnostic {
  const what = kept === undefined ? 'nothing was written' : `finished matrices are kept in "${basename(kept)}"`;
  const message = `Interrupted; ${what}.`;
  const location = { file: out };
  return { severity: 'error', code: 'interrupted', location, message, ...(kept !== undefined && { hint: goesOn }) };
}

function keptNote(kept: string): Diagnostic {
  const message = `Finished matrices are kept in "${basename(kept)}".`;
  return { severity: 'note', code: 'work-kept', location: { file: kept }, message, hint: goesOn };
}

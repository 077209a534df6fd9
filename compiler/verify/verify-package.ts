import { totalmem } from 'node:os';
import { join } from 'node:path';
import { type Diagnostic, failure, hasErrors, type Result, success } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { mainGraph, type Package, readPackage } from '../../files/package.ts';
import { asOneBlock, type RunOrder } from '../../files/run-order.ts';
import { onnxRuntimeCodes, RuntimeFailure } from '../../runtime/session.ts';
import { varyingLayers } from '../architectures/layer-places.ts';
import type { Progress } from '../compile-options.ts';
import { readModel } from '../read/read-model.ts';
import type { SourceModel } from '../read/source-model.ts';
import { type EngineOptions, openEngines } from '../tensorrt/run/engine-session.ts';
import { type EngineVerifier, engineVerifier } from '../tensorrt/run/engine-verifier.ts';
import type { OnRun, OpenDecoder } from './call.ts';
import { engineRuns, expectedCalls } from './engine-runs.ts';
import { type Executor, type OpenGraph, openDecoder } from './open-decoder.ts';
import { readReference } from './read-reference.ts';
import { loopView, stepDecoder } from './step-decoder.ts';
import { createTally, type Tally } from './tally.ts';
import { verifyAgainstModel } from './verify-against-model.ts';
import { verifyAgainstReference } from './verify-against-reference.ts';
import { verifyPropagate } from './verify-propagate.ts';
import type { VerifyReport } from './verify-report.ts';

export interface VerifyOptions {
  /** A reference.safetensors to compare with; by default the model is computed in float64. */
  readonly reference?: string | undefined;
  /** The model to compare with; by default the one that the package brings along. */
  readonly model?: string | undefined;
  /** Chooses the random tokens; the same seed, the same tokens. */
  readonly seed?: number | undefined;
  /** By default ONNX Runtime, where it can compute in the precision of the package. */
  readonly executor?: Executor | undefined;
  /** Runs the engines that were built from the graphs, by trtexec, in place of the graphs. */
  readonly engine?: EngineOptions | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborting makes the result a failure with the code `interrupted`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a package as it was written and compares what it computes with its model in float64 on random tokens, or with
 * what a reference.safetensors says. That it differs, or is not what was written, is a report that is not ok; that it
 * cannot be run or compared is a failure.
 * @param folder as the user names it
 */
export async function verifyPackage(folder: string, options: VerifyOptions = {}): Promise<Result<VerifyReport>> {
  try {
    return await verify(folder, options);
  } catch (error) {
    if (options.signal?.aborted) {
      const message = 'Interrupted before everything was compared.';
      return failure({ severity: 'error', code: 'interrupted', location: { file: folder }, message });
    }
    if (error instanceof RuntimeFailure) return failure(error.diagnostic);
    throw error;
  }
}

async function verify(folder: string, options: VerifyOptions): Promise<Result<VerifyReport>> {
  const { signal, onProgress, engine } = options;
  onProgress?.({ step: 'read' });
  const sizes = await readPackage(folder, { check: 'sizes', ...(signal && { signal }) });
  if (!sizes.ok) return sizes;
  if (engine === undefined) return compare(folder, sizes.value, options, undefined);
  const opened = await openEngines(folder, sizes.value.manifest, { ...engine, signal });
  if (!opened.ok) return opened;
  const session = opened.value;
  try {
    const verified = await compare(folder, sizes.value, options, engineVerifier(session, sizes.value.manifest));
    const diagnostics = [...opened.diagnostics, ...verified.diagnostics];
    return verified.ok ? success(verified.value, diagnostics) : failure(...diagnostics);
  } finally {
    await session.close();
  }
}

/** @param engines run the graphs, where it is they that are verified */
async function compare(
  folder: string,
  whole: Package,
  options: VerifyOptions,
  engines: EngineVerifier | undefined,
): Promise<Result<VerifyReport>> {
  const { signal, onProgress } = options;
  // A file that was altered is a finding, like a number that differs, and does not keep from comparing numbers.
  const altered = (await readPackage(folder, signal ? { signal } : {})).diagnostics;
  const { manifest } = whole;
  const steps = manifest.form === 'depth-batched';
  const pack = steps ? { ...whole, manifest: loopView(manifest) } : whole;
  const judge = await findJudge(folder, pack, options, engines?.roundoff);
  if (!judge.ok) return judge;
  const { file, inputs } = mainGraph(manifest);
  const open: OpenGraph =
    engines?.open ?? ((graph, declared) => openDecoder(join(pack.folder, graph), declared, manifest, options.executor));
  const opened = await open(file, inputs);
  if (!opened.ok) {
    if (engines) return opened;
    return isFinding(altered, opened.diagnostics)
      ? success(refusedReport(judge.value), [...altered, ...opened.diagnostics])
      : opened;
  }
  const decoder = steps ? stepDecoder(opened.value.decoder, manifest) : opened.value.decoder;
  const tally = createTally();
  let notes: readonly Diagnostic[];
  const onRun: OnRun = (step, done, total) =>
    onProgress?.({ step, ...(done !== undefined && total !== undefined && { done, total }) });
  try {
    if (engines) countCalls(engines, pack.manifest, judge.value, opened.value.decoder, onProgress);
    notes = await judge.value.compare(decoder, tally, onRun);
    const { model } = judge.value;
    const { seed = 0 } = options;
    if (model) {
      const roundoff = engines?.roundoff;
      const propagated = await verifyPropagate({ open, manifest, model, seed, tally, onRun, roundoff });
      if (!propagated.ok) return propagated;
    }
  } catch (error) {
    // What trtexec says is said of this machine, or of what was asked; a number that differs is found otherwise.
    if (engines) throw error;
    if (!(error instanceof RuntimeFailure) || !isFinding(altered, [error.diagnostic])) throw error;
    return success(refusedReport(judge.value), [...altered, error.diagnostic]);
  } finally {
    await decoder.close();
  }
  const outputs = tally.outputs();
  const ok = outputs.every((output) => output.ok) && !hasErrors(altered);
  const executedBy = engines?.executedBy() ?? opened.value.executedBy;
  const report = {
    document: { version: 1 as const, ok, outputs, ...(engines && { executedBy }) },
    differences: tally.differences(),
    against: judge.value.against,
    executedBy,
  };
  return success(report, [...altered, ...notes]);
}

/** Whether a package that does not run is itself to blame. ONNX Runtime may also be missing, or be the one that is wrong. */
function isFinding(altered: readonly Diagnostic[], problems: readonly Diagnostic[]): boolean {
  const outside: readonly string[] = onnxRuntimeCodes;
  return hasErrors(altered) || !problems.some(({ code }) => outside.includes(code));
}

/** Shows each call of trtexec, of about how many: every one takes seconds. */
function countCalls(
  engines: EngineVerifier,
  manifest: PackageManifest,
  { model }: Judge,
  { sizes }: OpenDecoder,
  onProgress: VerifyOptions['onProgress'],
): void {
  const total = model && expectedCalls(manifest, engineRuns(manifest, model, sizes?.() ?? []));
  engines.onCall(({ plan, name }, call) => {
    const count = total === undefined || call > total ? `${call}` : `${call} of about ${total}`;
    onProgress?.({ step: `trtexec ${count}: ${plan}, profile ${name}` });
  });
}

/** What a package is compared with. */
interface Judge {
  readonly against: string;
  /** The model itself, where it is what the package is compared with. */
  readonly model?: SourceModel;
  readonly compare: (decoder: OpenDecoder, tally: Tally, onRun: OnRun) => Promise<readonly Diagnostic[]>;
}

async function findJudge(
  folder: string,
  pack: Package,
  options: VerifyOptions,
  roundoff: number | undefined,
): Promise<Result<Judge>> {
  const { manifest } = pack;
  const few = options.engine !== undefined;
  const { signal, seed = 0 } = options;
  const own = manifest.source.missing.length === 0 ? join(folder, manifest.source.model) : undefined;
  // Against a reference in float32 nothing of the model is asked for, unless engines round.
  const idle = options.reference !== undefined && manifest.precision.compute === 'f32' && !few;
  const path = options.model ?? (idle ? undefined : own);
  const found = path === undefined ? undefined : await readModel(path, signal ? { signal } : {});
  const read = found?.ok ? success(asPackaged(found.value, manifest), found.diagnostics) : found;
  const foreign = read?.ok && options.model !== undefined ? findMismatch(pack, read.value, options.model) : undefined;
  if (foreign) return failure(foreign);
  if (options.reference !== undefined) {
    const known = await readReference(options.reference, manifest);
    if (!known.ok) return known;
    const reference = known.value;
    const model = read?.ok ? read.value : undefined;
    return success({
      against: `Compared with "${options.reference}".`,
      compare: (decoder, tally, onRun) =>
        verifyAgainstReference({
          manifest,
          decoder,
          reference,
          model,
          tally,
          onRun,
          signal,
          roundoff,
          promptOnly: few,
        }),
    });
  }
  if (read === undefined) return failure(modelNeeded(folder, manifest.source.missing));
  if (!read.ok) return read;
  const model = read.value;
  const large = tooLarge(model, totalmem());
  if (large) return failure(large);
  const named = options.model === undefined ? 'the model in the package' : `"${options.model}"`;
  return success({
    against: `Compared with ${named}, computed in float64 on random tokens (seed ${seed}).`,
    model,
    compare: (decoder, tally, onRun) =>
      verifyAgainstModel({
        ...{ manifest, decoder, model, seed, tally, onRun, signal, roundoff },
        few: few ? engineRuns(manifest, model, decoder.sizes?.() ?? []) : undefined,
      }),
  });
}

/** Why a model cannot be computed in float64 on a machine with so many bytes of memory. */
export function tooLarge(
  { folder, tensors }: Pick<SourceModel, 'folder' | 'tensors'>,
  memory: number,
): Diagnostic | undefined {
  const numbers = [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((n, d) => n * d, 1), 0);
  if (8 * numbers < 0.8 * memory) return undefined;
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);
  return {
    severity: 'error',
    code: 'model-too-large',
    location: { file: folder },
    message: `The model's ${numbers} weights take ${gigabytes(8 * numbers)} GB in float64, and this machine has ${gigabytes(memory)} GB of memory.`,
    hint: 'Compare with numbers from elsewhere: --reference.',
  };
}

function modelNeeded(folder: string, missing: readonly string[]): Diagnostic {
  const files = missing.map((path) => `"${path}"`).join(', ');
  return {
    severity: 'error',
    code: 'model-needed',
    location: { file: folder },
    message: `The package has not all weights of its model: no graph reads ${files}, so ${missing.length === 1 ? 'it was' : 'they were'} left out.`,
    hint: 'Name the model with --model, or numbers to compare with by --reference.',
  };
}

/** A model whose layers run as those of the package: steps run the layers of a model without loops as one block. */
function asPackaged(model: SourceModel, { recursion: packaged }: PackageManifest): SourceModel {
  const { recursion } = model;
  if (recursion.loops > 1 || packaged.prelude + packaged.coda > 0) return model;
  return { ...model, recursion: { ...asOneBlock(recursion), varying: varyingLayers(recursion) } };
}

/** Why a model cannot be the one that a package was made of. */
function findMismatch({ manifest }: Package, model: SourceModel, named: string): Diagnostic | undefined {
  const parts = ({ prelude, block, loops, coda, layers }: RunOrder) => {
    return { prelude, block, loops, coda, order: layers ? `[${layers.join(', ')}]` : 'that of the numbers' };
  };
  const found = {
    ...parts(model.recursion),
    vocabulary: model.spec.vocabSize,
    heads: model.spec.kvHeads,
    'head size': model.spec.headDim,
  };
  const expected: typeof found = {
    ...parts(manifest.recursion),
    vocabulary: Number(manifest.config.vocab_size ?? model.spec.vocabSize),
    heads: manifest.cache.heads,
    'head size': manifest.cache.headDim,
  };
  const wrong = (Object.keys(found) as (keyof typeof found)[]).find((key) => found[key] !== expected[key]);
  if (wrong === undefined) return undefined;
  return {
    severity: 'error',
    code: 'wrong-model',
    location: { file: named },
    message: `"${named}" is not the model of the package: its ${wrong} is ${found[wrong]}, and the package has ${expected[wrong]}.`,
  };
}

/** The report of a package that does not run: nothing could be compared. */
function refusedReport({ against }: Judge): VerifyReport {
  const document = { version: 1 as const, ok: false, outputs: [] };
  return { document, differences: [], against, executedBy: 'Nothing was executed.' };
}

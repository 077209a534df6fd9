import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Diagnostic } from '../../files/diagnostics.ts';
import { manifestName, type PackageManifest, type TensorrtFacts } from '../../files/manifest.ts';
import { invariant } from '../../ir/invariant.ts';
import type { OnnxFile } from '../../targets/onnx/onnx-file.ts';
import { decodeModel } from '../../targets/onnx/proto.ts';
import { attentionNames } from '../../targets/tensorrt/attention-names.ts';
import { buildScript, buildScriptName } from '../../targets/tensorrt/build-script.ts';
import { buildArguments } from '../../targets/tensorrt/trtexec/build-arguments.ts';
import type { CompileOptions, Form } from '../compile-options.ts';
import { type NamedGraph, pagesOf } from '../lower-model.ts';
import { describeInterface } from '../package/describe-package.ts';
import type { ExtraFile } from '../package/package-files.ts';
import type { SourceModel } from '../read/source-model.ts';
import { buildJobs, settledJob, timingCacheName, timingCacheWorkName } from './build/build-jobs.ts';
import { buildPlans } from './build/build-plans.ts';
import type { EngineReport } from './build/engine-report.ts';
import { withoutEngines } from './build/without-engines.ts';
import type { TensorrtChoice } from './choose-tensorrt.ts';
import { describeEngines } from './describe-engines.ts';
import { weightFiles } from './weights/graph-weights.ts';

/** What a package for TensorRT has besides graphs and weights. */
export interface PackageEngines {
  readonly facts: TensorrtFacts;
  /** build.sh. */
  readonly script: ExtraFile;
  readonly explanation: readonly string[];
}

/** Decides on the engines of a package whose graphs are written, and writes the script that builds them elsewhere. */
export function planPackageEngines(
  model: SourceModel,
  form: Form,
  written: {
    readonly graphs: readonly NamedGraph[];
    readonly onnx: readonly OnnxFile[];
    /** Where they go in the package; by default its root. */
    readonly folder?: string | undefined;
  },
  settled: {
    readonly options: CompileOptions;
    readonly choice: TensorrtChoice;
    readonly attention: TensorrtFacts['attention'];
  },
): PackageEngines {
  const { options, choice, attention } = settled;
  const { graphs, folder = '' } = written;
  const onnx = written.onnx.map((file) => ({ ...file, name: posix.join(folder, file.name) }));
  const interfaces = Object.fromEntries(onnx.map(({ name }, i) => [name, describeInterface(graphs[i]!.graph)]));
  const { facts, explanation } = describeEngines({
    choice,
    form,
    graphs: onnx.map(({ name, bytes }) => ({ file: name, bytes, inputs: interfaces[name]!.inputs })),
    attention,
    recursion: model.recursion,
    pages: pagesOf(options),
    separate: options.tensorrt?.separateEngines ?? false,
    timingCacheSha256: options.tensorrt?.timingCacheSha256,
  });
  const bytesOf = (graph: string) => onnx.find(({ name }) => name === graph)!.bytes;
  const decoded = (graph: string) => {
    const model = decodeModel(bytesOf(graph), graph);
    invariant(model.ok, `${graph} was written and cannot be read`);
    return model.value;
  };
  const jobs = buildJobs({ graphs: interfaces, tensorrt: facts }, choice.version, (graph) =>
    attentionNames(decoded(graph)),
  );
  const text = buildScript({
    name: model.name,
    version: choice.version,
    engines: jobs.map((job) => ({
      graph: job.engine.graph,
      graphSha256: createHash('sha256').update(bytesOf(job.engine.graph)).digest('hex'),
      weights: weightFiles(job.engine.graph, decoded(job.engine.graph).graph),
      plan: job.engine.plan,
      profiles: job.engine.profiles.map(({ name }) => name),
      saveTo: job.saveTo,
      arguments: buildArguments(job),
      settledArguments: buildArguments(settledJob(job)),
    })),
    versionCompatible: facts.settings.versionCompatible,
    hardwareCompatibility: facts.settings.hardwareCompatibility ?? 'none',
    timingCache: { file: timingCacheName, workFile: timingCacheWorkName },
    timingCacheSha256: facts.timingCacheSha256,
  });
  return { facts, script: { path: buildScriptName, bytes: Buffer.from(text), executable: true }, explanation };
}

/** What became of the engines of a package. */
export interface BuiltEngines {
  readonly report: EngineReport;
  readonly diagnostics: readonly Diagnostic[];
  /** Files that were added or replaced, and their bytes. */
  readonly sizes: readonly (readonly [path: string, bytes: number])[];
}

/**
 * Builds the engines of a package that was written, where there is a trtexec and they are wanted.
 * @param out the package, as the user names it
 */
export async function buildPackageEngines(
  out: string,
  manifest: PackageManifest,
  { facts, explanation }: PackageEngines,
  { options, choice }: { readonly options: CompileOptions; readonly choice: TensorrtChoice },
): Promise<BuiltEngines> {
  const { version, attention, engines: planned } = facts;
  const report = { version, attention, planned, explanation, plans: [], unbuilt: [] } satisfies EngineReport;
  if (choice.trtexec === undefined) {
    const { unbuilt } = choice;
    const why = unbuilt.length === 0 ? [] : withoutEngines(out, facts, unbuilt);
    return { report: { ...report, unbuilt: why }, diagnostics: [], sizes: [] };
  }
  const { tensorrt = {}, env = process.env, signal, onProgress } = options;
  const built = await buildPlans({
    folder: out,
    manifest,
    options: tensorrt,
    trtexec: choice.trtexec,
    env,
    signal,
    onProgress,
  });
  if (!built.ok) {
    return {
      report: { ...report, unbuilt: withoutEngines(out, facts, built.diagnostics) },
      diagnostics: [],
      sizes: [],
    };
  }
  const { size } = await stat(join(out, manifestName));
  const sizes = [...built.value.map((stamp) => [stamp.file, stamp.size] as const), [manifestName, size] as const];
  return { report: { ...report, plans: built.value }, diagnostics: built.diagnostics, sizes };
}

import { copyFile, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import type { PackageManifest } from '../../../files/manifest.ts';
import { hashFile } from '../../../files/package.ts';
import type { PlanStamp } from '../../../files/plan-stamp.ts';
import { buildArguments } from '../../../targets/tensorrt/trtexec/build-arguments.ts';
import type { BuildJob } from '../../../targets/tensorrt/trtexec/build-job.ts';
import { nodeDescriber } from '../../../targets/tensorrt/trtexec/describe-node.ts';
import type { Trtexec } from '../../../targets/tensorrt/trtexec/find-trtexec.ts';
import type { Gpu } from '../../../targets/tensorrt/trtexec/identify-gpu.ts';
import { runTrtexec, type TrtexecRun } from '../../../targets/tensorrt/trtexec/run-trtexec.ts';
import { formatVersion } from '../../../targets/tensorrt/versions.ts';
import type { Progress } from '../../compile-options.ts';
import { flush } from '../../package/write-generated.ts';
import { type Machine, planParts } from '../plan-cache/collect-parts.ts';
import type { PlanCache } from '../plan-cache/plan-cache.ts';
import { keepTimingCache, offerTimingCache } from '../plan-cache/timing-caches.ts';
import type { ContentHashes } from '../weights/content-hashes.ts';
import { type GraphWeights, graphWeights } from '../weights/graph-weights.ts';
import { settledJob, timingCacheName } from './build-jobs.ts';

export interface BuildEngineOptions {
  readonly job: BuildJob;
  /** The package, as the user names it. */
  readonly folder: string;
  readonly manifest: PackageManifest;
  readonly trtexec: Trtexec;
  /** What nvidia-smi says; undefined where it cannot be asked. */
  readonly gpu: Gpu | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** What files came to that were read for an engine of the package before. */
  readonly hashes: ContentHashes;
  /** Engines of earlier builds, and for which GPU they would be looked up. */
  readonly cache: { readonly plans: PlanCache; readonly machine: Machine } | undefined;
  readonly timeoutMs: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Builds an engine, or takes it from the cache. When this succeeds it lies whole under `job.saveTo`, and what was
 * measured is in the package's timing cache. The log is kept as `<plan stem>.log`. Rejects with the signal's reason.
 */
export async function buildEngine(options: BuildEngineOptions): Promise<Result<PlanStamp>> {
  const { job, folder, trtexec, hashes, cache, manifest, signal, onProgress } = options;
  const { engine } = job;
  const path = join(folder, job.saveTo);
  await rm(path, { force: true });
  if (cache === undefined) {
    onProgress?.({ step: `hash the weights of ${engine.graph}` });
    const weights = await graphWeights(engine.graph, { folder, hashes, signal });
    return weights.ok ? build(options, weights.value) : weights;
  }
  onProgress?.({ step: `look for ${engine.plan} in the cache` });
  const parts = await planParts({
    folder,
    hashes,
    signal,
    graph: engine.graph,
    arguments: buildArguments(settledJob(job)),
    tensorrt: formatVersion(trtexec.version),
    machine: cache.machine,
    timingCacheSha256: manifest.tensorrt?.timingCacheSha256,
  });
  if (!parts.ok) return parts;
  const taken = await cache.plans.take(parts.value, path, signal);
  if (taken.stamp) return success(named(taken.stamp, job), taken.diagnostics);
  const built = await build(options, parts.value.weights);
  if (!built.ok) return failure(...taken.diagnostics, ...built.diagnostics);
  const warnings = await cache.plans.store(parts.value, { plan: path, stamp: built.value }, signal);
  return success(built.value, [...taken.diagnostics, ...built.diagnostics, ...warnings]);
}

async function build(options: BuildEngineOptions, weights: GraphWeights): Promise<Result<PlanStamp>> {
  const { job, folder, manifest, trtexec, env, hashes, cache, timeoutMs, signal, onProgress } = options;
  const { engine, settings } = job;
  const own = join(folder, timingCacheName);
  const work = join(folder, job.timingCache);
  const kept = cache && {
    dir: cache.plans.dir,
    timedOn: { ...cache.machine, tensorrt: formatVersion(trtexec.version) },
  };
  const begun = await startTimingCache(own, work, kept, signal);
  const step = `build ${engine.plan}`;
  onProgress?.({ step });
  const graph = await readFile(join(folder, engine.graph));
  const run = await runTrtexec(trtexec, buildArguments(job), {
    cwd: folder,
    env,
    log: join(folder, logName(engine.plan)),
    describeNode: nodeDescriber(graph),
    timeoutMs,
    signal,
    onProgress: (phase) => {
      if (phase === 'parsing' || phase === 'building') onProgress?.({ step: `${step}: ${phase}` });
    },
  });
  if (!run.ok) return run;
  signal?.throwIfAborted();
  const plan = await checkPlan(join(folder, job.saveTo), join(folder, engine.plan), run.value);
  if (!plan.ok) return failure(...run.diagnostics, ...plan.diagnostics);
  if (!(await hashes.unchanged(signal))) return failure(...run.diagnostics, changed(engine.plan));
  const diagnostics = [...run.diagnostics, ...run.value.warnings.map((message) => said(engine.plan, message))];
  const measured = await stat(work).catch(() => undefined);
  if (settings.errorOnTimingCacheMiss && begun && measured && measured.size > begun.size) {
    diagnostics.push(missed(engine.plan));
  }
  // A timing cache that is pinned stays what it is.
  if (manifest.tensorrt?.timingCacheSha256 === undefined && measured) {
    await rename(work, own);
    // Of another GPU than nvidia-smi named they would be filed under the wrong one.
    const { gpu, computeCapability } = run.value;
    const asFiled =
      (gpu ?? kept?.timedOn.gpu) === kept?.timedOn.gpu &&
      (computeCapability ?? kept?.timedOn.computeCapability) === kept?.timedOn.computeCapability;
    if (kept && asFiled)
      diagnostics.push(...(await keepTimingCache(kept.dir, kept.timedOn, own, begun?.sha256, signal)));
  }
  await rm(work, { force: true });
  return success(stampOf(options, weights, run.value, plan.value, begun?.sha256), diagnostics);
}

/** Name of the log of an engine. */
export function logName(plan: string): string {
  return plan.replace(/\.plan$/, '.log');
}

/**
 * Puts the timing cache that a build begins with where trtexec may write: a copy of the package's, else of what the
 * folder of engines keeps for this GPU. Undefined: there is none.
 */
async function startTimingCache(
  own: string,
  work: string,
  kept: { readonly dir: string; readonly timedOn: Parameters<typeof offerTimingCache>[1] } | undefined,
  signal: AbortSignal | undefined,
): Promise<{ readonly sha256: string; readonly size: number } | undefined> {
  await rm(work, { force: true });
  try {
    await copyFile(own, work);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if (kept === undefined) return undefined;
    const offered = await offerTimingCache(kept.dir, kept.timedOn, work, signal);
    if (offered === undefined) return undefined;
  }
  return { sha256: await hashFile(work, undefined, signal), size: (await stat(work)).size };
}

/** What lies where the engine was to be saved; an engine is never empty, and as large as trtexec said it is. */
async function checkPlan(
  path: string,
  shown: string,
  { engineBytes }: TrtexecRun,
): Promise<Result<{ readonly size: number; readonly sha256: string }>> {
  const refuse = (what: string) =>
    failure({
      severity: 'error',
      code: 'trtexec-failed',
      location: { file: shown },
      message: `trtexec ended with exit code 0, and ${what}.`,
      hint: 'Is there room on the disk? The log beside it has all that trtexec said.',
    });
  try {
    const found = await stat(path);
    if (!found.isFile() || found.size === 0) return refuse('the engine that it saved is empty');
    // It prints MiB with six digits.
    if (engineBytes !== undefined && found.size < engineBytes * (1 - 1e-4) - 64) {
      return refuse(`the engine that it saved has ${found.size} bytes of about ${Math.round(engineBytes)}`);
    }
    await flush(path);
    return success({ size: found.size, sha256: await hashFile(path) });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return refuse('saved no engine');
    return failure(fileDiagnostic(error, { file: shown }, 'read'));
  }
}

function stampOf(
  { job, manifest, trtexec, gpu }: BuildEngineOptions,
  weights: GraphWeights,
  run: TrtexecRun,
  plan: { readonly size: number; readonly sha256: string },
  timingCacheSha256: string | undefined,
): PlanStamp {
  const { engine, settings } = job;
  return {
    file: engine.plan,
    graph: engine.graph,
    profiles: engine.profiles.map(({ name }) => name),
    ...plan,
    graphSha256: manifest.files[engine.graph]!.sha256!,
    weights: { ...weights },
    tensorrt: formatVersion(run.version ?? trtexec.version),
    // Of several GPUs the log names the one that was used.
    gpu: run.gpu ?? gpu?.gpu ?? 'unknown',
    computeCapability: run.computeCapability ?? gpu?.computeCapability ?? 'unknown',
    ...(gpu && { driver: gpu.driver }),
    versionCompatible: settings.versionCompatible,
    hardwareCompatibility: settings.hardwareCompatibility ?? 'none',
    arguments: [...buildArguments(settledJob(job))],
    ...(timingCacheSha256 !== undefined && { timingCacheSha256 }),
  };
}

/** A stamp from the cache, whose package may have called things otherwise. */
function named(stamp: PlanStamp, { engine }: BuildJob): PlanStamp {
  return { ...stamp, file: engine.plan, graph: engine.graph, profiles: engine.profiles.map(({ name }) => name) };
}

/** What trtexec warns of in a build that went well. */
function said(plan: string, message: string): Diagnostic {
  return { severity: 'warning', code: 'trtexec-warning', location: { file: plan }, message };
}

/** What says nothing of what the engine was built from. */
function changed(plan: string): Diagnostic {
  return {
    severity: 'error',
    code: 'altered-file',
    location: { file: plan },
    message: `A file that "${plan}" is built from changed during the build.`,
    hint: 'Build again when nothing else writes into the package.',
  };
}

function missed(plan: string): Diagnostic {
  return {
    severity: 'warning',
    code: 'timing-cache-grew',
    location: { file: plan },
    message: 'Timings that the timing cache lacks were to be errors, and trtexec added some without a word.',
    hint: 'Such misses were reported for TensorRT 11.0. The engine may differ from one built with the same cache before.',
  };
}

import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import { formatManifest, manifestName, type PackageManifest, type TensorrtFacts } from '../../../files/manifest.ts';
import { type PlanStamp, stampName } from '../../../files/plan-stamp.ts';
import { invariant } from '../../../ir/invariant.ts';
import { decodeModel } from '../../../targets/onnx/proto.ts';
import { attentionNames } from '../../../targets/tensorrt/attention-names.ts';
import type { BuildJob } from '../../../targets/tensorrt/trtexec/build-job.ts';
import type { Trtexec } from '../../../targets/tensorrt/trtexec/find-trtexec.ts';
import { type Gpu, identifyGpu } from '../../../targets/tensorrt/trtexec/identify-gpu.ts';
import type { Progress } from '../../compile-options.ts';
import { flush } from '../../package/write-generated.ts';
import type { Machine } from '../plan-cache/collect-parts.ts';
import { planCache, unknownGpu } from '../plan-cache/plan-cache.ts';
import type { TensorrtOptions } from '../tensorrt-options.ts';
import { contentHashes } from '../weights/content-hashes.ts';
import { buildEngine } from './build-engine.ts';
import { buildJobs } from './build-jobs.ts';
import { lockForBuilding } from './building-lock.ts';

export interface BuildPlansOptions {
  /** The package, as the user names it. */
  readonly folder: string;
  readonly manifest: PackageManifest;
  readonly options: Pick<TensorrtOptions, 'buildTimeout' | 'cacheDir'>;
  readonly trtexec: Trtexec;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Builds every engine of a package, or none: each is built aside, and when all are whole they take their names and
 * rtc.json lists them. Whatever happens before leaves the package as it was, but for logs and the timing cache of
 * engines that were finished. One at a time builds in a folder. Engines come from `cacheDir` where they were built before from the same things.
 */
export async function buildPlans(options: BuildPlansOptions): Promise<Result<readonly PlanStamp[]>> {
  const locked = await lockForBuilding(options.folder);
  if (!locked.ok) return locked;
  try {
    return await buildLocked(options);
  } finally {
    await locked.value();
  }
}

async function buildLocked(options: BuildPlansOptions): Promise<Result<readonly PlanStamp[]>> {
  const { folder, manifest, trtexec, env, signal } = options;
  const { buildTimeout, cacheDir } = options.options;
  const facts = manifest.tensorrt;
  invariant(facts !== undefined, 'a package that is meant for no engines');
  const diagnostics: Diagnostic[] = [];
  let jobs: readonly BuildJob[] = [];
  const named: string[] = [];
  try {
    const attentions = await attentionsOf(folder, facts);
    jobs = buildJobs({ ...manifest, tensorrt: facts }, trtexec.version, (graph) => attentions.get(graph) ?? []);
    const gpu = await identifyGpu({ env, signal });
    const machine = machineOf(gpu);
    const cache = cacheDir === undefined || !machine ? undefined : { plans: planCache(cacheDir), machine };
    if (cacheDir !== undefined && !machine) diagnostics.push(unknownGpu(cacheDir));
    const hashes = cache?.plans.hashes ?? contentHashes();
    const stamps: PlanStamp[] = [];
    for (const job of jobs) {
      signal?.throwIfAborted();
      const timeoutMs = buildTimeout === undefined ? undefined : buildTimeout * 1000;
      const built = await buildEngine({ ...options, job, gpu, hashes, cache, timeoutMs });
      diagnostics.push(...built.diagnostics);
      if (!built.ok) return failure(...diagnostics);
      stamps.push(built.value);
    }
    signal?.throwIfAborted();
    // From here on it is all but done: a few names change.
    for (const job of jobs) {
      await rm(join(folder, stampName(job.engine.plan)), { force: true });
      await rename(join(folder, job.saveTo), join(folder, job.engine.plan));
      named.push(job.engine.plan);
    }
    await replaceManifest(folder, { ...manifest, plans: stamps });
    named.length = 0;
    return success(stamps, diagnostics);
  } catch (error) {
    if (signal?.aborted) {
      const message = 'Interrupted; no engine was built.';
      return failure(...diagnostics, { severity: 'error', code: 'interrupted', location: { file: folder }, message });
    }
    return failure(...diagnostics, fileDiagnostic(error, { file: folder }, 'write'));
  } finally {
    await clearAway(folder, jobs, named);
  }
}

/** A GPU of which everything is known that engines depend on. */
function machineOf(gpu: Gpu | undefined): Machine | undefined {
  return gpu?.computeCapability === undefined ? undefined : { ...gpu, computeCapability: gpu.computeCapability };
}

/** Names of the Attention nodes of every graph. */
async function attentionsOf(
  folder: string,
  { engines, attention }: TensorrtFacts,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  if (attention === 'parts') return found;
  for (const graph of new Set(engines.map((engine) => engine.graph))) {
    const decoded = decodeModel(await readFile(join(folder, graph)), graph);
    invariant(decoded.ok, `${graph} was written and cannot be read`);
    found.set(graph, attentionNames(decoded.value));
  }
  return found;
}

/** rtc.json as a whole or as it was. */
async function replaceManifest(folder: string, manifest: PackageManifest): Promise<void> {
  const aside = join(folder, `${manifestName}.partial`);
  try {
    const file = await open(aside, 'w', 0o666);
    try {
      await file.writeFile(formatManifest(manifest));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, join(folder, manifestName));
    await flush(folder);
  } finally {
    await rm(aside, { force: true }).catch(() => {});
  }
}

async function clearAway(folder: string, jobs: readonly BuildJob[], unlisted: readonly string[]): Promise<void> {
  // The lock is trtexec's own, which it leaves behind.
  const names = jobs.flatMap(({ saveTo, timingCache }) => [saveTo, timingCache, `${timingCache}.lock`]);
  for (const name of [...names, ...unlisted]) await rm(join(folder, name), { force: true }).catch(() => {});
}

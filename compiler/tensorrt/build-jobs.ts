import type { TensorrtFacts } from '../../files/manifest.ts';
import type { BuildJob } from '../../targets/tensorrt/trtexec/build-job.ts';
import type { TensorrtVersion } from '../../targets/tensorrt/versions.ts';

/** The timing cache of a package. */
export const timingCacheName = 'timing.cache';

/** Where trtexec works on the timing cache; it becomes the package's when the engine is there. */
export const timingCacheWorkName = `${timingCacheName}.partial`;

/** The calls of trtexec that make the engines of a package, as a version of it takes them. */
export function buildJobs(
  { engines, settings }: TensorrtFacts,
  version: TensorrtVersion,
  /** Names of the Attention nodes of a graph, by its file. */
  attentions: (graph: string) => readonly string[],
): readonly BuildJob[] {
  return engines.map((engine) => ({
    version,
    engine,
    saveTo: `${engine.plan}.partial`,
    timingCache: timingCacheWorkName,
    settings,
    attentions: attentions(engine.graph),
  }));
}

/** The same call with files under the names that they will have: what stamps say, and what keys are made from. */
export function settledJob(job: BuildJob): BuildJob {
  return { ...job, saveTo: job.engine.plan, timingCache: timingCacheName };
}

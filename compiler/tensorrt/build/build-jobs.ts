import type { PackageManifest, TensorrtFacts } from '../../../files/manifest.ts';
import type { BuildJob } from '../../../targets/tensorrt/trtexec/build-job.ts';
import type { TensorrtVersion } from '../../../targets/tensorrt/versions.ts';

/** The timing cache of a package. */
export const timingCacheName = 'timing.cache';

/** Where trtexec works on the timing cache; it becomes the package's when the engine is there. */
export const timingCacheWorkName = `${timingCacheName}.partial`;

/** What of rtc.json the calls of trtexec follow from. */
export type JobFacts = Pick<PackageManifest, 'graphs'> & { readonly tensorrt: TensorrtFacts };

/**
 * The calls of trtexec that make the engines of a package, as a version of it takes them: the same for a package that was
 * just written and for one that was read.
 * @param attentions names of the Attention nodes of a graph, by its file
 */
export function buildJobs(
  { graphs, tensorrt }: JobFacts,
  version: TensorrtVersion,
  attentions: (graph: string) => readonly string[],
): readonly BuildJob[] {
  return tensorrt.engines.map((engine) => ({
    version,
    engine: {
      ...engine,
      profiles: engine.profiles.map(({ name, inputs }) => ({
        name,
        inputs: inOrder(inputs, graphs[engine.graph]?.inputs ?? []),
      })),
    },
    saveTo: `${engine.plan}.partial`,
    timingCache: timingCacheWorkName,
    settings: tensorrt.settings,
    attentions: attentions(engine.graph),
  }));
}

/** In the order of the graph: rtc.json has keys in the order of their names. */
function inOrder<T>(byName: Readonly<Record<string, T>>, inputs: readonly { readonly name: string }[]) {
  return Object.fromEntries(
    inputs.flatMap(({ name }) => (Object.hasOwn(byName, name) ? [[name, byName[name]!] as const] : [])),
  );
}

/** The same call with files under the names that they will have: what stamps say, and what keys are made from. */
export function settledJob(job: BuildJob): BuildJob {
  return { ...job, saveTo: job.engine.plan, timingCache: timingCacheName };
}

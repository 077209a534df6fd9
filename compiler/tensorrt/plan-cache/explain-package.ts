import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import { hashFile, readPackage } from '../../../files/package.ts';
import { decodeModel } from '../../../targets/onnx/proto.ts';
import { attentionNames } from '../../../targets/tensorrt/attention-names.ts';
import { buildArguments, settingsProblems } from '../../../targets/tensorrt/trtexec/build-arguments.ts';
import { findTrtexec } from '../../../targets/tensorrt/trtexec/find-trtexec.ts';
import { identifyGpu } from '../../../targets/tensorrt/trtexec/identify-gpu.ts';
import { atLeast, defaultVersion, formatVersion, parseVersion } from '../../../targets/tensorrt/versions.ts';
import { buildJobs, type JobFacts, settledJob } from '../build/build-jobs.ts';
import { cacheLayout, planName } from './cache-layout.ts';
import { argumentFiles, packageParts } from './collect-parts.ts';
import { type AskedParts, type Explanation, explainMiss, type UnknownPart } from './explain-miss.ts';
import { planCache } from './plan-cache.ts';
import type { PlanParts } from './plan-parts.ts';
import { readEntries } from './read-entries.ts';
import { type CacheEntry, damagedEntry } from './read-entry.ts';

export interface ExplainOptions {
  readonly cacheDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** trtexec to ask for its version. */
  readonly trtexec?: string | undefined;
  /** What to take in place of what this machine says. */
  readonly tensorrtVersion?: string | undefined;
  readonly gpu?: string | undefined;
  readonly computeCapability?: string | undefined;
  readonly driver?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An engine of a package, and what the cache has of it. */
export interface ExplainedEngine extends Explanation {
  readonly plan: string;
  readonly graph: string;
}

export interface ExplainedPackage {
  readonly engines: readonly ExplainedEngine[];
  /** What could not be found out here, and was compared with nothing. */
  readonly unknown: readonly UnknownPart[];
}

type MachineParts = Partial<Pick<PlanParts, UnknownPart>>;

/**
 * Tells for each engine of a package whether a cache has it, and if not what differs. Nothing is built and nothing taken.
 * Refused: a package that is not whole or not meant for engines, a cache that is not there, a trtexec that was named and
 * does not answer.
 * @param folder as the user names it
 */
export async function explainPackage(folder: string, options: ExplainOptions): Promise<Result<ExplainedPackage>> {
  const { cacheDir, signal } = options;
  try {
    const read = await readPackage(folder, { check: 'sizes', ...(signal && { signal }) });
    if (!read.ok) return read;
    const { manifest } = read.value;
    if (manifest.tensorrt === undefined) return failure(notForEngines(folder));
    const facts = manifest.tensorrt;
    const built = { graphs: manifest.graphs, tensorrt: facts };
    const entries = await readEntries(cacheDir);
    if (!entries.ok) return entries;
    const machine = await machineParts(options);
    if (!machine.ok) return machine;
    const known = machine.value;
    const { hashes } = planCache(cacheDir);
    const engines: ExplainedEngine[] = [];
    const damaged: Diagnostic[] = [];
    for (const { graph, plan, profiles } of facts.engines) {
      const ofPackage = await packageParts(graph, { folder, hashes, signal });
      if (!ofPackage.ok) return ofPackage;
      const attentions = await attentionsOf(folder, graph);
      const argumentsFor = (version: string) => argumentsOf(built, plan, attentions, version);
      const asked: AskedParts = {
        ...ofPackage.value,
        ...known,
        ...(facts.timingCacheSha256 === undefined ? {} : { timingCache: facts.timingCacheSha256 }),
        argumentFiles: await argumentFiles(argumentsFor(facts.version), { folder, hashes, signal }),
        argumentsFor,
        profiles: profiles.map(({ name }) => name),
      };
      let explained = explainMiss(asked, entries.value);
      const hit = explained.outcome === 'hit' ? entries.value.find(({ key }) => key === explained.key) : undefined;
      const damage = hit && (await alteredBytes(cacheDir, hit, signal));
      if (damage) {
        damaged.push(damage);
        explained = explainMiss(
          asked,
          entries.value.filter((entry) => entry !== hit),
        );
      }
      engines.push({ plan, graph, ...explained });
    }
    await hashes.save();
    const unknown = engines[0]?.unknown ?? [];
    return success({ engines, unknown }, [...entries.diagnostics, ...machine.diagnostics, ...damaged]);
  } catch (error) {
    if (!signal?.aborted) throw error;
    const message = 'Interrupted.';
    return failure({ severity: 'error', code: 'interrupted', location: { file: folder }, message });
  }
}

/** What to tell of an entry whose engine has other bytes than were kept: a build would set it aside. */
async function alteredBytes(
  dir: string,
  { key, stamp }: CacheEntry,
  signal: AbortSignal | undefined,
): Promise<Diagnostic | undefined> {
  const folder = join(cacheLayout(dir).plans, key);
  const sha256 = await hashFile(join(folder, planName), undefined, signal).catch(() => undefined);
  signal?.throwIfAborted();
  if (sha256 === stamp.sha256) return undefined;
  const hint = 'The next build sets it aside, and builds again.';
  return { ...damagedEntry(folder, 'its bytes are not those that were kept'), hint };
}

/**
 * What trtexec of a version would be called with, as keys have it. Of a version that cannot build the package at all:
 * what the one would be that the package is written for.
 */
function argumentsOf(built: JobFacts, plan: string, attentions: readonly string[], version: string): readonly string[] {
  const { settings, version: writtenFor } = built.tensorrt;
  const own = parseVersion(writtenFor) ?? defaultVersion;
  const asked = parseVersion(version) ?? own;
  const refused =
    settingsProblems(settings, asked).some(({ severity }) => severity === 'error') ||
    (attentions.length > 0 && !atLeast(asked, 10, 14));
  const jobs = buildJobs(built, refused ? own : asked, () => attentions);
  return buildArguments(settledJob(jobs.find(({ engine }) => engine.plan === plan)!));
}

async function attentionsOf(folder: string, graph: string): Promise<readonly string[]> {
  const decoded = decodeModel(await readFile(join(folder, graph)), graph);
  return decoded.ok ? attentionNames(decoded.value) : [];
}

/** What is known of the machine: what the user says, else what trtexec and nvidia-smi do. */
async function machineParts({ env, signal, trtexec, ...told }: ExplainOptions): Promise<Result<MachineParts>> {
  const diagnostics: Diagnostic[] = [];
  let { tensorrtVersion: tensorrt } = told;
  if (tensorrt === undefined) {
    const found = await findTrtexec({ path: trtexec, env, signal });
    // Where nobody named one, that there is none is no more than not to know.
    if (!found.ok && (trtexec !== undefined || signal?.aborted)) return found;
    if (found.ok) {
      tensorrt = formatVersion(found.value.version);
      diagnostics.push(...found.diagnostics);
    }
  }
  const { gpu, computeCapability, driver } = told;
  const asked = [gpu, computeCapability, driver].includes(undefined) ? await identifyGpu({ env, signal }) : undefined;
  const parts = {
    tensorrt,
    gpu: gpu ?? asked?.gpu,
    computeCapability: computeCapability ?? asked?.computeCapability,
    driver: driver ?? asked?.driver,
  };
  return success(Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)), diagnostics);
}

function notForEngines(folder: string): Diagnostic {
  return {
    severity: 'error',
    code: 'not-for-engines',
    location: { file: folder },
    message: `"${folder}" is not meant for engines: rtc.json has no "tensorrt".`,
    hint: 'Compile with --target tensorrt.',
  };
}

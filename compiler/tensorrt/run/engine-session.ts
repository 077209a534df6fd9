import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Diagnostic, failure, hasErrors, type Result, success } from '../../../files/diagnostics.ts';
import type { PackageManifest, TensorrtFacts } from '../../../files/manifest.ts';
import type { PlanStamp } from '../../../files/plan-stamp.ts';
import { findTrtexec } from '../../../targets/tensorrt/trtexec/find-trtexec.ts';
import { identifyGpu } from '../../../targets/tensorrt/trtexec/identify-gpu.ts';
import { runArguments } from '../../../targets/tensorrt/trtexec/run-arguments.ts';
import { runTrtexec } from '../../../targets/tensorrt/trtexec/run-trtexec.ts';
import { formatVersion } from '../../../targets/tensorrt/versions.ts';
import { planFileProblems, planProblems } from '../plans/plan-problems.ts';
import { readPlans } from '../plans/read-plans.ts';
import { contentHashes } from '../weights/content-hashes.ts';
import type { EngineRun, RunEngine } from './engine-call.ts';

/** What running the engines of a package takes. */
export interface EngineOptions {
  /** Path of trtexec; by default `TRTEXEC`, what is on PATH, and the usual places. */
  readonly trtexec?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
}

/** The engines of a package, all of them built and checked, and who runs them. */
export interface EngineSession {
  /** Of the package, absolute. */
  readonly folder: string;
  readonly facts: TensorrtFacts;
  /** One for each engine, in the order of rtc.json. */
  readonly stamps: readonly PlanStamp[];
  readonly run: RunEngine;
  /** A folder for files of calls; gone with the session, unless a call failed. */
  readonly scratch: string;
  /** `trtexec of TensorRT 10.16.0 on NVIDIA H100 80GB HBM3`; the GPU is known once it was asked or something ran. */
  readonly machine: () => string;
  /** Whether products of f32 may be computed in TF32. */
  readonly tf32: boolean;
  readonly close: () => Promise<void>;
}

/**
 * Finds trtexec and the engines of a package, and holds one against the other before anything runs: engines that are
 * missing, altered, of another graph, weights, version or GPU are refused, each by name.
 * @param folder of the package, as the user names it
 */
export async function openEngines(
  folder: string,
  manifest: PackageManifest,
  { trtexec: path, env, signal }: EngineOptions & { readonly signal?: AbortSignal | undefined },
): Promise<Result<EngineSession>> {
  const facts = manifest.tensorrt;
  if (facts === undefined) return failure(notForEngines(folder, manifest));
  const read = await readPlans(folder, manifest);
  if (!read.ok) return read;
  const stamps = read.value;
  const missing = facts.engines.filter(({ plan }) => !stamps.some(({ file }) => file === plan));
  if (missing.length > 0)
    return failure(
      ...read.diagnostics,
      notBuilt(
        folder,
        missing.map(({ plan }) => plan),
      ),
    );
  const found = await findTrtexec({ path, env, signal });
  if (!found.ok) return found;
  const trtexec = found.value;
  const gpu = await identifyGpu({ env, signal });
  const version = formatVersion(trtexec.version);
  const machine = { tensorrt: version, gpu: gpu?.gpu, computeCapability: gpu?.computeCapability };
  const problems: Diagnostic[] = [...read.diagnostics, ...found.diagnostics];
  // Engines share weights, which are large.
  const hashes = contentHashes();
  for (const stamp of stamps) {
    const shown = join(folder, stamp.file);
    problems.push(
      ...planProblems(stamp, machine, shown),
      ...(await planFileProblems(folder, manifest, stamp, signal, hashes)),
      ...profileProblems(facts, stamp, shown),
      ...(stamp.arguments.includes('--stripWeights') ? [stripped(shown)] : []),
    );
  }
  if (hasErrors(problems)) return failure(...problems);
  const versionCompatible = new Set(
    stamps.filter((stamp) => stamp.versionCompatible).map(({ file }) => join(resolve(folder), file)),
  );
  const scratch = await mkdtemp(join(tmpdir(), 'rtc-engine-'));
  let taken = gpu?.gpu;
  let failed = false;
  const run = async ({ folder: cwd, ...call }: EngineRun) => {
    const args = runArguments({
      ...{ version: trtexec.version, ...call },
      versionCompatible: versionCompatible.has(call.plan),
    });
    const ran = await runTrtexec(trtexec, args, { cwd, env, signal, log: join(cwd, 'trtexec.log') });
    if (ran.ok) taken = ran.value.gpu ?? taken;
    else failed = true;
    return ran;
  };
  return success(
    {
      ...{ folder: resolve(folder), facts, stamps, run, scratch },
      machine: () => `trtexec of TensorRT ${version}${taken === undefined ? '' : ` on ${taken}`}`,
      tf32: manifest.precision.compute === 'f32' && stamps.some((stamp) => !stamp.arguments.includes('--noTF32')),
      // What failed can be looked at, and the command that is told repeated; not what was interrupted.
      close: async () => {
        if (!failed || signal?.aborted) await rm(scratch, { recursive: true, force: true });
      },
    },
    problems,
  );
}

/** Why the profiles of an engine are not those of rtc.json, by whose sizes calls are made. */
function profileProblems({ engines }: TensorrtFacts, stamp: PlanStamp, shown: string): readonly Diagnostic[] {
  const expected = engines.find(({ plan }) => plan === stamp.file)?.profiles.map(({ name }) => name) ?? [];
  if (`${expected}` === `${stamp.profiles}`) return [];
  const message = `"${shown}" has the profiles ${stamp.profiles.join(', ')}, and the package says ${expected.join(', ')}.`;
  return [{ severity: 'error', code: 'plan-profiles', location: { file: shown }, message, hint: buildAgain }];
}

function notForEngines(folder: string, { target }: PackageManifest): Diagnostic {
  return {
    severity: 'error',
    code: 'not-for-engines',
    location: { file: folder },
    message: `"${folder}" was compiled for ${target}, and has no engines.`,
    hint: 'Compile the model with --target tensorrt.',
  };
}

function notBuilt(folder: string, plans: readonly string[]): Diagnostic {
  const names = plans.map((plan) => `"${plan}"`).join(' and ');
  return {
    severity: 'error',
    code: 'no-engines',
    location: { file: folder },
    message: `The package is whole, but ${names} ${plans.length === 1 ? 'is' : 'are'} not built yet.`,
    hint: buildAgain,
  };
}

function stripped(shown: string): Diagnostic {
  return {
    severity: 'error',
    code: 'plan-stripped',
    location: { file: shown },
    message: `"${shown}" was built without its weights: nothing that it computes says anything.`,
    hint: 'Build without --strip-weights to check it here.',
  };
}

const buildAgain = 'Run build.sh in the package on the machine with the GPU; it needs nothing but trtexec.';

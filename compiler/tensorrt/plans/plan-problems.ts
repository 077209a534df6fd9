import { join } from 'node:path';
import type { Diagnostic } from '../../../files/diagnostics.ts';
import { fileDiagnostic } from '../../../files/file-diagnostic.ts';
import type { PackageManifest } from '../../../files/manifest.ts';
import { hashFile } from '../../../files/package.ts';
import type { PlanStamp } from '../../../files/plan-stamp.ts';
import { parseVersion } from '../../../targets/tensorrt/versions.ts';
import { type ContentHashes, contentHashes } from '../weights/content-hashes.ts';
import { graphWeights } from '../weights/graph-weights.ts';

/** What an engine would run on; what is not known is not compared. */
export interface PlanMachine {
  /** Version of TensorRT: `10.16.0`. */
  readonly tensorrt?: string | undefined;
  /** Name of the GPU: `NVIDIA H100 80GB HBM3`. */
  readonly gpu?: string | undefined;
  /** `9.0` */
  readonly computeCapability?: string | undefined;
}

/**
 * Why an engine does not run on a machine: errors, and a warning where it runs but was tuned for something else. None
 * when it fits.
 * @param shown path of the engine as the user would name it
 */
export function planProblems(
  stamp: PlanStamp,
  machine: PlanMachine,
  shown: string = stamp.file,
): readonly Diagnostic[] {
  const location = { file: shown };
  const problems: Diagnostic[] = [];
  const built = `"${shown}" was built`;
  const { tensorrt, gpu, computeCapability } = machine;
  if (tensorrt !== undefined && !versionFits(stamp, tensorrt)) {
    const reach = stamp.versionCompatible ? 'other versions of the same number before the dot' : 'that version only';
    const message = `${built} by TensorRT ${stamp.tensorrt} for ${reach}; here is TensorRT ${tensorrt}.`;
    problems.push({ severity: 'error', code: 'plan-version', location, message, hint: buildHere });
  }
  if (computeCapability !== undefined && stamp.computeCapability !== 'unknown') {
    if (!capabilityFits(stamp, computeCapability)) {
      const here = gpu === undefined ? 'the GPU here' : `the ${gpu} here`;
      const reach =
        stamp.hardwareCompatibility === 'ampere+' ? '8.0 and later' : `compute capability ${stamp.computeCapability}`;
      const message = `${built} on a ${stamp.gpu} for ${reach}; ${here} has ${computeCapability}.`;
      problems.push({ severity: 'error', code: 'plan-gpu', location, message, hint: buildHere });
    } else if (gpu !== undefined && gpu !== stamp.gpu && stamp.hardwareCompatibility === 'none') {
      const message = `${built} and tuned on a ${stamp.gpu}; here is a ${gpu}, on which it may be slow or fail.`;
      problems.push({ severity: 'warning', code: 'plan-gpu', location, message, hint: buildHere });
    }
  }
  return problems;
}

/**
 * Whether the engine is the file that was built, from the graph and the weights that the package has: errors, each of one
 * file. Reads all of them.
 * @param hashes what files came to that were read for another engine of the package
 */
export async function planFileProblems(
  folder: string,
  manifest: PackageManifest,
  stamp: PlanStamp,
  signal?: AbortSignal,
  hashes: ContentHashes = contentHashes(),
): Promise<readonly Diagnostic[]> {
  const shown = join(folder, stamp.file);
  const location = { file: shown };
  const builtFromAnother = (code: string, file: string): Diagnostic => {
    const message = `"${shown}" was built from another "${file}" than the package has.`;
    return { severity: 'error', code, location, message, hint: buildAgain };
  };
  if (manifest.files[stamp.graph]?.sha256 !== stamp.graphSha256) return [builtFromAnother('plan-graph', stamp.graph)];
  const weights = await graphWeights(stamp.graph, { folder, hashes, signal });
  if (!weights.ok) return weights.diagnostics;
  const problems = Object.entries(weights.value)
    .filter(([file, sha256]) => !Object.hasOwn(stamp.weights, file) || stamp.weights[file] !== sha256)
    .map(([file]) => builtFromAnother('plan-weights', file));
  try {
    if ((await hashFile(shown, undefined, signal)) === stamp.sha256) return problems;
  } catch (error) {
    signal?.throwIfAborted();
    return [...problems, fileDiagnostic(error, location, 'read')];
  }
  const message = `"${shown}" is not the engine that was built: its SHA-256 differs.`;
  return [...problems, { severity: 'error', code: 'altered-file', location, message, hint: buildAgain }];
}

/** Without version compatibility TensorRT compares all of the version. */
function versionFits(stamp: PlanStamp, found: string): boolean {
  const [built, here] = [parseVersion(stamp.tensorrt), parseVersion(found)];
  // A version in words that we do not know is compared as it is.
  if (built === undefined || here === undefined) return stamp.tensorrt === found;
  if (built.major !== here.major) return false;
  if (stamp.versionCompatible) return true;
  const patches = built.patch === undefined || here.patch === undefined || built.patch === here.patch;
  return built.minor === here.minor && patches;
}

function capabilityFits({ computeCapability, hardwareCompatibility }: PlanStamp, found: string): boolean {
  if (hardwareCompatibility !== 'ampere+') return computeCapability === found;
  return Number.parseInt(found, 10) >= 8;
}

const buildHere = 'Engines fit one version and one kind of GPU: run build.sh in the package on this machine.';
const buildAgain = 'Run build.sh in the package: it builds what does not fit again.';

import { stat } from 'node:fs/promises';
import { posix, resolve } from 'node:path';
import { type Result, success } from '../../../files/diagnostics.ts';
import { graphWeights, type HashOptions, hashInside } from '../weights/graph-weights.ts';
import { type PlanParts, partsFormat } from './plan-parts.ts';

/** What nvidia-smi says of the machine that builds. */
export interface Machine {
  readonly gpu: string;
  readonly computeCapability: string;
  readonly driver: string;
}

/** The parts that the package decides, wherever its engines are built. */
export type PackageParts = Pick<PlanParts, 'graph' | 'weights'>;

export interface PlanPartsOptions extends HashOptions {
  /** The graph's file in the package. */
  readonly graph: string;
  /** As `buildArguments` gives them when the engine is saved under its final name. */
  readonly arguments: readonly string[];
  /** Version of TensorRT, with its patch: `10.16.0`. */
  readonly tensorrt: string;
  readonly machine: Machine;
  /** SHA-256 of the timing cache, where one is pinned. */
  readonly timingCacheSha256?: string | undefined;
}

/**
 * Everything that decides which engine a build gives. Weights are hashed as they are, whatever rtc.json says of them.
 * Refused with a diagnostic: a graph or weights that are missing or cannot be read. Rejects with the signal's reason.
 */
export async function planParts(options: PlanPartsOptions): Promise<Result<PlanParts>> {
  const { graph, machine, tensorrt, timingCacheSha256 } = options;
  const ofPackage = await packageParts(graph, options);
  if (!ofPackage.ok) return ofPackage;
  return success({
    format: partsFormat,
    ...ofPackage.value,
    arguments: [...options.arguments],
    argumentFiles: await argumentFiles(options.arguments, options),
    tensorrt,
    gpu: machine.gpu,
    computeCapability: machine.computeCapability,
    driver: machine.driver,
    ...(timingCacheSha256 === undefined ? {} : { timingCache: timingCacheSha256 }),
  });
}

/** Hashes of a graph and of every file that its weights are in. */
export async function packageParts(graph: string, options: HashOptions): Promise<Result<PackageParts>> {
  const hashed = await hashInside(graph, posix.join(options.folder, graph), options);
  if (!hashed.ok) return hashed;
  const weights = await graphWeights(graph, options);
  return weights.ok ? success({ graph: hashed.value, weights: { ...weights.value } }) : weights;
}

/** Files that trtexec reads because an argument says so: the same words with other bytes in the file are another build. */
export async function argumentFiles(
  given: readonly string[],
  { folder, hashes, signal }: HashOptions,
): Promise<Readonly<Record<string, string>>> {
  const named: Record<string, string> = {};
  for (const argument of given) {
    const [flag = '', ...rest] = argument.split('=');
    // The graph has a part of its own, and what is written is no input. A timing cache changes no results: pinned ones
    // have a part of their own too.
    if (flag === '--onnx' || flag === '--timingCacheFile' || /^--(save|export)/.test(flag)) continue;
    const value = rest.join('=');
    for (const word of new Set([value, ...value.split(',')])) {
      const path = resolve(folder, word);
      if (word === '' || !(await isFile(path))) continue;
      try {
        named[word] = await hashes.hash(path, signal);
      } catch {
        signal?.throwIfAborted();
        // trtexec will say that it cannot read the file.
      }
    }
  }
  return named;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

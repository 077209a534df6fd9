import { argumentDifferences } from './argument-differences.ts';
import { type PlanParts, partsFormat, planKey } from './plan-parts.ts';
import type { CacheEntry } from './read-entry.ts';

/** Where what is asked for differs from what is kept. */
export interface Difference {
  readonly part:
    | 'graph'
    | 'weights'
    | 'argument'
    | 'argument-file'
    | 'tensorrt'
    | 'gpu'
    | 'compute-capability'
    | 'driver'
    | 'timing-cache';
  /** The file, or the flag, where a part has several. */
  readonly name?: string;
  /** As it is kept, and as it is asked for; undefined: not there. */
  readonly was?: string;
  readonly now?: string;
  /** A sentence without capital and full stop. */
  readonly message: string;
}

/** Parts of an engine, as far as they are known on this machine. */
export interface AskedParts
  extends Pick<PlanParts, 'graph' | 'weights' | 'argumentFiles' | 'timingCache'>,
    Partial<Pick<PlanParts, UnknownPart>> {
  /** What trtexec of a version is called with: flags differ by version. */
  readonly argumentsFor: (tensorrt: string) => readonly string[];
  /** Names of the profiles, by their numbers. */
  readonly profiles: readonly string[];
}

/** Parts that only the machine with the GPU can tell. */
export type UnknownPart = 'tensorrt' | 'gpu' | 'computeCapability' | 'driver';

const machineParts: readonly UnknownPart[] = ['tensorrt', 'gpu', 'computeCapability', 'driver'];

export interface Explanation {
  /** `depends`: kept for the machines in `keptFor`, and it is not known whether one of them will ask. */
  readonly outcome: 'hit' | 'miss' | 'depends';
  /** Where all parts are known. */
  readonly key?: string;
  /** What is not known here, and so was compared with nothing. */
  readonly unknown: readonly UnknownPart[];
  /** Outcome `depends`: the entries that have all known parts. */
  readonly keptFor: readonly Pick<PlanParts, UnknownPart>[];
  /** Outcome `miss`: of the engines of this name, or of all, the one that differs in the fewest parts. */
  readonly nearest?: { readonly key: string; readonly differences: readonly Difference[] };
}

/**
 * Why an engine is, or is not, in the cache. What is unknown is left out of the comparison. The nearest entry is one of an
 * engine with the same name where there is any; of those that are equally near, it is the one with the smallest key.
 */
export function explainMiss(asked: AskedParts, entries: readonly CacheEntry[]): Explanation {
  const unknown = machineParts.filter((part) => asked[part] === undefined);
  const compared = entries
    .map(({ key, parts }) => ({ key, parts, differences: differencesFrom(parts, asked) }))
    .sort(
      (a, b) =>
        Number(isOfAnotherName(a.differences)) - Number(isOfAnotherName(b.differences)) ||
        a.differences.length - b.differences.length ||
        (a.key < b.key ? -1 : 1),
    );
  const [first] = compared;
  const equal = compared.filter(({ differences }) => differences.length === 0);
  const asKey = keyOf(asked);
  const key = asKey === undefined ? {} : { key: asKey };
  if (asKey !== undefined && equal.length > 0) return { outcome: 'hit', ...key, unknown, keptFor: [] };
  if (equal.length > 0) return { outcome: 'depends', unknown, keptFor: equal.map(({ parts }) => machineOf(parts)) };
  const nearest = first === undefined ? {} : { nearest: { key: first.key, differences: first.differences } };
  return { outcome: 'miss', ...key, unknown, keptFor: [], ...nearest };
}

/** Whether they are differences between engines of different names: of other graphs, or with other profiles. */
export function isOfAnotherName(differences: readonly Difference[]): boolean {
  return differences.some(({ part, name }) => part === 'argument' && name === '--saveEngine');
}

/** Undefined while a part is unknown. */
function keyOf(asked: AskedParts): string | undefined {
  const { graph, weights, argumentFiles, timingCache, tensorrt, gpu, computeCapability, driver } = asked;
  if (tensorrt === undefined || gpu === undefined || computeCapability === undefined || driver === undefined) {
    return undefined;
  }
  return planKey({
    format: partsFormat,
    graph,
    weights,
    arguments: [...asked.argumentsFor(tensorrt)],
    argumentFiles,
    tensorrt,
    gpu,
    computeCapability,
    driver,
    ...(timingCache === undefined ? {} : { timingCache }),
  });
}

function differencesFrom(was: PlanParts, asked: AskedParts): readonly Difference[] {
  const { tensorrt = was.tensorrt, gpu, computeCapability, driver } = asked;
  const named = [
    ['graph', 'the graph', was.graph, asked.graph],
    ['tensorrt', 'TensorRT', was.tensorrt, asked.tensorrt],
    ['gpu', 'the GPU', was.gpu, gpu],
    ['compute-capability', 'the compute capability', was.computeCapability, computeCapability],
    ['driver', 'the driver', was.driver, driver],
  ] as const;
  const differences: Difference[] = [];
  for (const [part, title, before, after] of named) {
    if (after === undefined || after === before) continue;
    const message =
      part === 'graph'
        ? `the graph is another one (SHA-256 ${short(after)}, and was ${short(before)})`
        : `${title} is ${after}, and was ${before}`;
    differences.push({ part, was: before, now: after, message });
  }
  differences.push(
    ...fileDifferences('weights', was.weights, asked.weights),
    ...argumentDifferences(was.arguments, asked.argumentsFor(tensorrt), asked.profiles),
    ...fileDifferences('argument-file', was.argumentFiles, asked.argumentFiles),
    ...fileDifferences('timing-cache', pinned(was.timingCache), pinned(asked.timingCache)),
  );
  return differences;
}

function fileDifferences(
  part: Difference['part'],
  was: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): readonly Difference[] {
  const names = [...new Set([...Object.keys(was), ...Object.keys(now)])].sort();
  return names.flatMap((name): readonly Difference[] => {
    const [before, after] = [was[name], now[name]];
    if (before === after) return [];
    if (before === undefined) return [{ part, name, now: after!, message: `${name} is new` }];
    if (after === undefined) return [{ part, name, was: before, message: `${name} is gone` }];
    const message = `${name} has another content (SHA-256 ${short(after)}, and was ${short(before)})`;
    return [{ part, name, was: before, now: after, message }];
  });
}

function pinned(sha256: string | undefined): Readonly<Record<string, string>> {
  return sha256 === undefined ? {} : { 'the pinned timing cache': sha256 };
}

function machineOf({ tensorrt, gpu, computeCapability, driver }: PlanParts): Pick<PlanParts, UnknownPart> {
  return { tensorrt, gpu, computeCapability, driver };
}

function short(sha256: string): string {
  return `${sha256.slice(0, 12)}…`;
}

/** Sizes of an input by its name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

export interface Profile {
  readonly min: Shapes;
  readonly opt: Shapes;
  readonly max: Shapes;
}

/** A command line as the stand-in understands it, or why it is refused. */
export type CommandLine =
  | { readonly kind: 'help' }
  | { readonly kind: 'refused'; readonly errors: readonly string[] }
  | { readonly kind: 'options'; readonly options: ReadonlyMap<string, string>; readonly profiles: readonly Profile[] };

const valued = new Set([
  ...['onnx', 'saveEngine', 'loadEngine', 'minShapes', 'optShapes', 'maxShapes', 'shapes', 'useProfile', 'profile'],
  ...['memPoolSize', 'builderOptimizationLevel', 'timingCacheFile', 'hardwareCompatibilityLevel', 'profilingVerbosity'],
  ...['decomposableAttentions', 'iterations', 'warmUp', 'duration', 'loadInputs', 'exportOutput', 'exportTimes'],
  ...['exportLayerInfo', 'exportProfile', 'device', 'avgTiming', 'avgRuns', 'maxAuxStreams', 'weightStreamingBudget'],
  ...['maxTactics', 'allocationStrategy', 'tacticSources', 'preview', 'infStreams', 'percentile', 'sparsity'],
]);
const plain = new Set([
  ...['stronglyTyped', 'noTF32', 'skipInference', 'versionCompatible', 'stripWeights', 'allowWeightStreaming'],
  ...['errorOnTimingCacheMiss', 'noCompilationCache', 'verbose', 'getPlanVersionOnly', 'refit', 'noDataTransfers'],
  ...['includeDataTransfers', 'noCudaGraph', 'useCudaGraph', 'useSpinWait', 'noSpinWait', 'separateProfileRun'],
  ...['dumpLayerInfo', 'dumpProfile', 'dumpOptimizationProfile', 'excludeLeanRuntime', 'stripAllWeights'],
]);

/** Reads a command line: `--flag=value` and `--flag` only; what it does not know it refuses, as trtexec does. */
export function readCommandLine(args: readonly string[]): CommandLine {
  if (args.length === 0 || args.some((arg) => arg === '--help' || arg === '-h')) return { kind: 'help' };
  const options = new Map<string, string>();
  const profiles: { min: Shapes; opt: Shapes; max: Shapes }[] = [];
  const errors: string[] = [];
  for (const arg of args) {
    const [, name = '', value = ''] = /^--([^=]+)(?:=([\s\S]*))?$/.exec(arg) ?? [];
    if (name === '') errors.push(`Unknown option: ${arg} `);
    else if (!valued.has(name) && !plain.has(name)) errors.push(`Unknown option: --${name} ${value}`);
    else if (name === 'profile') profiles.push({ min: {}, opt: {}, max: {} });
    else if (/^(?:min|opt|max)Shapes$/.test(name)) {
      if (profiles.length === 0) profiles.push({ min: {}, opt: {}, max: {} });
      profiles.at(-1)![name.slice(0, 3) as 'min' | 'opt' | 'max'] = readShapes(value);
    } else if (options.has(name)) errors.push(`Unknown option: --${name} ${value}`);
    else options.set(name, value);
  }
  if (errors.length > 0) return { kind: 'refused', errors };
  if (!options.has('onnx') && !options.has('loadEngine'))
    return { kind: 'refused', errors: ['Model missing or format not recognized'] };
  return { kind: 'options', options, profiles };
}

/** `a:1x2,'b:0':3` as sizes by name; the last colon separates. */
export function readShapes(list: string): Shapes {
  return Object.fromEntries(
    list.split(',').map((entry) => {
      const colon = entry.lastIndexOf(':');
      const name = entry.slice(0, colon).replace(/^'(.*)'$/, '$1');
      const sizes = entry.slice(colon + 1);
      return [name, sizes === '' || sizes === 'scalar' ? [] : sizes.split('x').map(Number)];
    }),
  );
}

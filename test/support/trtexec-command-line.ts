/**
 * What trtexec makes of its arguments, written down a second time, from how it was seen to behave and from nothing of
 * rtc's own: what rtc emits is read with it, and the stand-in for trtexec obeys it. Where trtexec is careless (numbers
 * that end in letters, values of booleans) so is this.
 */

/** Sizes of one input; empty where a list did not name it. */
export interface ReadRange {
  min: readonly number[];
  opt: readonly number[];
  max: readonly number[];
}

export type ReadProfile = Readonly<Record<string, ReadRange>>;

export interface ReadCommandLine {
  readonly help: boolean;
  /** In the order of their numbers. One without inputs where no shape was given. */
  readonly profiles: readonly ReadProfile[];
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly useProfile: number;
  /** File by input. */
  readonly loadInputs: Readonly<Record<string, string>>;
  /** Names of --decomposableAttentions. */
  readonly attentions: readonly string[];
  /** Bytes by pool of --memPoolSize. */
  readonly memoryPools: Readonly<Record<string, number>>;
  /** Every other flag, as `--name`, with its value: text, number, or true. */
  readonly flags: ReadonlyMap<string, string | number | true>;
  readonly warnings: readonly string[];
}

/** A command line as read, or the reason that trtexec prints before it ends with 1. */
export type CommandLineReading =
  | { readonly ok: true; readonly commandLine: ReadCommandLine }
  | { readonly ok: false; readonly reason: string };

export interface ReadVersion {
  readonly major: number;
  readonly minor: number;
}

type Kind = 'boolean' | 'integer' | 'number' | 'text' | 'special';

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');

/** What release brought and took. Flags of 8.6 that 11.1 still has stand in the first; boolean unless said below. */
const releases: readonly { at: readonly [number, number]; added: string; removed?: string }[] = [
  {
    at: [8, 6],
    added: `onnx saveEngine loadEngine minShapes optShapes maxShapes shapes skipInference buildOnly noTF32 fp16 fp8 int8
      best workspace minTiming memPoolSize explicitBatch explicitPrecision refit hardwareCompatibilityLevel
      versionCompatible vc excludeLeanRuntime heuristic builderOptimizationLevel calib layerPrecisions layerOutputTypes
      layerDeviceTypes precisionConstraints inputIOFormats outputIOFormats tacticSources noDataTransfers useCudaGraph
      useSpinWait separateProfileRun loadInputs preview plugins staticPlugins dynamicPlugins setPluginsToSerialize
      ignoreParsedPluginLibs streams infStreams maxAuxStreams timingCacheFile noBuilderCache sparsity profilingVerbosity
      exportLayerInfo exportProfile exportTimes exportOutput dumpOutput dumpProfile dumpLayerInfo dumpRefit
      dumpRawBindingsToFile iterations warmUp duration avgRuns avgTiming percentile threads sleepTime idleTime exposeDMA
      useManagedMemory timeDeserialize timeRefit persistentCacheRatio device useDLACore verbose useRuntime leanDLLPath
      tempdir tempfileControls directIO safe consistency restricted buildDLAStandalone allowGPUFallback nvtxMode
      minShapesCalib optShapesCalib maxShapesCalib uff uffInput uffNHWC deploy model output batch maxBatch`,
  },
  {
    at: [9, 0],
    added: `bf16 profile useProfile calibProfile stronglyTyped weightless dumpOptimizationProfile errorOnTimingCacheMiss
      noCompilationCache getPlanVersionOnly`,
    removed: 'uff uffInput uffNHWC deploy model output batch maxBatch',
  },
  {
    at: [10, 0],
    added: `stripWeights allowWeightStreaming weightStreamingBudget allocationStrategy markDebug saveDebugTensors
      pluginInstanceNorm pi`,
    removed: 'buildOnly workspace explicitBatch explicitPrecision heuristic minTiming nvtxMode',
  },
  { at: [10, 1], added: 'int4 stripAllWeights' },
  { at: [10, 2], added: 'runtimePlatform' },
  { at: [10, 4], added: 'maxTactics', removed: 'consistency' },
  { at: [10, 6], added: 'monitorMemory' },
  { at: [10, 7], added: 'asyncFileReader' },
  { at: [10, 8], added: 'tilingOptimizationLevel l2LimitForTiling' },
  { at: [10, 11], added: 'uint8AsymmetricQuantizationDLA' },
  { at: [10, 12], added: 'distributiveIndependence markUnfusedTensorsAsDebugTensors saveAllDebugTensors' },
  { at: [10, 13], added: 'remoteAutoTuningConfig dumpKernelText consistency' },
  { at: [10, 14], added: 'decomposableAttentions refitFromOnnx' },
  { at: [10, 15], added: 'enablePluginOverride cpuOnly' },
  { at: [10, 16], added: 'adjustForDLA reportCapabilityDLA' },
  {
    at: [11, 0],
    added: 'includeDataTransfers noCudaGraph noSpinWait',
    removed: `fp16 bf16 fp8 int8 int4 best calib calibProfile minShapesCalib optShapesCalib maxShapesCalib
      layerPrecisions layerOutputTypes precisionConstraints weightless restricted`,
  },
  {
    at: [11, 1],
    added: `setBuildRoute tuneBuildRoutes tuneBuildRouteFile tuningSearch tuningCacheFile tuningResultFile tuningTimeOut
      helpBuildRoute saveAllEngines dryRun continue loadRefOutputs refPair accuracyAlgorithm accuracyThreshold atol rtol`,
  },
];

const kinds: ReadonlyMap<string, Kind> = new Map([
  ...words('profile minShapes optShapes maxShapes shapes loadInputs memPoolSize decomposableAttentions').map(
    (flag) => [flag, 'special'] as const,
  ),
  ...words(`builderOptimizationLevel maxTactics avgTiming maxAuxStreams useProfile iterations avgRuns infStreams streams
    device useDLACore tilingOptimizationLevel l2LimitForTiling workspace minTiming calibProfile tuningTimeOut refPair
    batch maxBatch`).map((flag) => [flag, 'integer'] as const),
  ...words('warmUp duration sleepTime idleTime persistentCacheRatio atol rtol accuracyThreshold').map(
    (flag) => [flag, 'number'] as const,
  ),
  ...words(`onnx saveEngine loadEngine hardwareCompatibilityLevel calib layerPrecisions layerOutputTypes layerDeviceTypes
    precisionConstraints inputIOFormats outputIOFormats tacticSources preview plugins staticPlugins dynamicPlugins
    setPluginsToSerialize timingCacheFile sparsity profilingVerbosity exportLayerInfo exportProfile exportTimes
    exportOutput percentile useRuntime leanDLLPath tempdir tempfileControls weightStreamingBudget allocationStrategy
    markDebug saveDebugTensors runtimePlatform saveAllDebugTensors remoteAutoTuningConfig refitFromOnnx setBuildRoute
    tuneBuildRoutes tuneBuildRouteFile tuningSearch tuningCacheFile tuningResultFile helpBuildRoute loadRefOutputs
    accuracyAlgorithm minShapesCalib optShapesCalib maxShapesCalib nvtxMode uff uffInput deploy model output`).map(
    (flag) => [flag, 'text'] as const,
  ),
]);

const repeatable = new Set(words('--staticPlugins --dynamicPlugins --setPluginsToSerialize --plugins'));

/** Whether the option parser of a version has a flag, given without its dashes. */
export function hasFlag(flag: string, version: ReadVersion): boolean {
  let has = false;
  for (const { at, added, removed } of releases) {
    if (at[0] > version.major || (at[0] === version.major && at[1] > version.minor)) continue;
    if (words(added).includes(flag)) has = true;
    if (words(removed ?? '').includes(flag)) has = false;
  }
  return has;
}

class Refused extends Error {}

/**
 * Reads arguments as trtexec of a version does. Versions between those that were looked at are read like the nearest
 * older one, those after 11.1 like 11.1.
 */
export function readTrtexecCommandLine(args: readonly string[], version: ReadVersion): CommandLineReading {
  try {
    return { ok: true, commandLine: read(args, version) };
  } catch (error) {
    if (error instanceof Refused) return { ok: false, reason: error.message };
    throw error;
  }
}

interface Argument {
  readonly flag: string;
  readonly value: string;
  readonly place: number;
}

function read(args: readonly string[], version: ReadVersion): ReadCommandLine {
  const left = new Set(
    args.map((text, place): Argument => {
      const equals = text.indexOf('=');
      return equals < 0
        ? { flag: text, value: '', place }
        : { flag: text.slice(0, equals), value: text.slice(equals + 1), place };
    }),
  );
  const warnings: string[] = [];
  const take = (flag: string, fits: (argument: Argument) => boolean = () => true): Argument | undefined => {
    if (!hasFlag(flag.slice(2), version)) return undefined;
    for (const argument of left) {
      if (argument.flag !== flag || !fits(argument)) continue;
      left.delete(argument);
      return argument;
    }
    return undefined;
  };

  const profiles = readProfiles(take, warnings);
  const shapes: Record<string, readonly number[]> = {};
  for (const [name, dims] of shapeList(take('--shapes')?.value ?? '')) shapes[name] = dims;
  const loadInputs: Record<string, string> = {};
  for (const item of split(take('--loadInputs')?.value ?? '', ',')) {
    const [name, file] = nameAndValue(item);
    loadInputs[name] = file;
  }
  const attentions = split(take('--decomposableAttentions')?.value ?? '', ',').map((name) => name.replaceAll("'", ''));
  const memoryPools: Record<string, number> = {};
  for (const item of split(take('--memPoolSize')?.value ?? '', ',')) {
    const [pool, size] = nameAndValue(item);
    const pools = `workspace dlaSRAM dlaLocalDRAM dlaGlobalDRAM ${version.major < 10 ? '' : 'tacticSharedMem'}`;
    if (!words(pools).includes(pool)) {
      throw new Refused(`Unknown memory pool: ${pool}`);
    }
    memoryPools[pool] = bytes(size);
  }

  const flags = new Map<string, string | number | true>();
  for (const argument of [...left]) {
    const { flag, value } = argument;
    const name = flag.slice(2);
    if (!flag.startsWith('--') || !hasFlag(name, version) || kinds.get(name) === 'special') continue;
    if (flags.has(flag) && !repeatable.has(flag)) continue;
    left.delete(argument);
    const kind = kinds.get(name) ?? 'boolean';
    flags.set(
      flag,
      kind === 'boolean' ? true : kind === 'integer' ? integer(value) : kind === 'number' ? decimal(value) : value,
    );
    checkValue(flag, value, version);
  }
  const help = [...left].some(({ flag }) => flag === '--help' || flag === '-h');
  for (const argument of left) if (argument.flag === '--help' || argument.flag === '-h') left.delete(argument);
  if (!help) checkTogether(flags, version);
  const [unknown] = left;
  if (unknown && !help) throw new Refused(`Unknown option: ${unknown.flag} ${unknown.value}`);

  const useProfile = flags.get('--useProfile') ?? 0;
  return {
    help: help || args.length === 0,
    profiles,
    shapes,
    useProfile: Number(useProfile),
    loadInputs,
    attentions,
    memoryPools,
    flags,
    warnings,
  };
}

/** The three shape flags count for the --profile right in front of them; without any --profile there is one profile. */
function readProfiles(
  take: (flag: string, fits?: (argument: Argument) => boolean) => Argument | undefined,
  warnings: string[],
): readonly ReadProfile[] {
  const profiles: ReadProfile[] = [];
  const selectors = { '--minShapes': 'min', '--optShapes': 'opt', '--maxShapes': 'max' } as const;
  const flagsOfShapes = Object.keys(selectors) as (keyof typeof selectors)[];
  const profileOf = (lists: ReadonlyMap<'min' | 'opt' | 'max', string>): ReadProfile => {
    const ranges: Record<string, ReadRange> = {};
    for (const [selector, list] of lists) {
      for (const [name, dims] of shapeList(list)) {
        ranges[name] ??= { min: [], opt: [], max: [] };
        ranges[name][selector] = dims;
      }
    }
    const missing = (['min', 'opt', 'max'] as const).filter((selector) => !lists.has(selector));
    if (missing.length === 3) return ranges;
    for (const [name, range] of Object.entries(ranges)) {
      const from: Record<'min' | 'opt' | 'max', readonly ('min' | 'opt' | 'max')[]> = {
        min: ['opt', 'max'],
        opt: ['max', 'min'],
        max: ['opt', 'min'],
      };
      const given = { ...range };
      for (const selector of missing) {
        const source = from[selector].find((other) => lists.has(other))!;
        warnings.push(`${source}Shapes is being broadcasted to ${selector}Shapes for tensor ${name}`);
        range[selector] = given[source];
      }
    }
    return ranges;
  };

  let several = false;
  for (let head = take('--profile'); head; head = take('--profile')) {
    several = true;
    const index = integer(head.value);
    const lists = new Map<'min' | 'opt' | 'max', string>();
    for (let place = head.place + 1; ; place++) {
      const flag = flagsOfShapes.find((name) => !lists.has(selectors[name]) && take2(name, place));
      if (!flag) break;
    }
    if (index < 0) throw new Refused('std::bad_alloc');
    if (Object.keys(profiles[index] ?? {}).length > 0) {
      throw new Refused('Optimization profile index cannot be the same.');
    }
    profiles[index] = profileOf(lists);

    function take2(name: keyof typeof selectors, place: number): boolean {
      const found = take(name, (argument) => argument.place === place);
      if (found) lists.set(selectors[name], found.value);
      return found !== undefined;
    }
  }
  for (let i = 0; i < profiles.length; i++) {
    if (Object.keys(profiles[i] ?? {}).length === 0) {
      throw new Refused(`Found invalid or missing shape spec at profile index ${i}. `);
    }
  }
  if (!several) {
    const lists = new Map<'min' | 'opt' | 'max', string>();
    for (const flag of flagsOfShapes) {
      const found = take(flag);
      if (found) lists.set(selectors[flag], found.value);
    }
    profiles.push(profileOf(lists));
  }
  if (flagsOfShapes.some((flag) => take(flag))) {
    throw new Refused('Multiple --minShapes/--optShapes/--maxShapes without --profile are not allowed. ');
  }
  return profiles;
}

/** `name:1x2,'other':3,rank0:scalar` */
function shapeList(list: string): readonly (readonly [string, readonly number[]])[] {
  return split(list, ',').map((item) => {
    const [name, value] = nameAndValue(item);
    return [name, value === 'scalar' ? [] : split(value, 'x').map(integer)] as const;
  });
}

/** The last `:` separates; a name may stand in single quotes. */
function nameAndValue(item: string): readonly [string, string] {
  const quoted = split(item, "'");
  if (quoted.length !== 1) {
    if (quoted.length !== 3) {
      throw new Refused(
        `Found invalid number of 's when parsing ${item}. Expected: 2, received: ${quoted.length - 1}.`,
      );
    }
    return [quoted[0]! + quoted[1]!, quoted[2]!.slice(1)];
  }
  const colon = item.lastIndexOf(':');
  return colon < 0 ? [item, item] : [item.slice(0, colon), item.slice(colon + 1)];
}

/** Nothing has no parts. */
function split(text: string, separator: string): readonly string[] {
  return text === '' ? [] : text.split(separator);
}

/** C++'s stoi: digits at the start count, more than 31 bits fail. */
function integer(text: string): number {
  const match = /^\s*[+-]?\d+/.exec(text);
  const value = Number(match?.[0] ?? Number.NaN);
  if (!match || value > 2 ** 31 - 1 || value < -(2 ** 31)) throw new Refused('Uncaught exception detected: stoi');
  return value;
}

function decimal(text: string): number {
  const match = /^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?/i.exec(text);
  if (!match) throw new Refused('Uncaught exception detected: stof');
  return Number(match[0]);
}

/** `4G`, `0.5G`, `100` (MiB). */
function bytes(text: string): number {
  const unit = /\d$/.test(text) ? 'M' : text.slice(-1).toUpperCase();
  const power = ['B', 'K', 'M', 'G'].indexOf(unit);
  if (power < 0) throw new Refused(`Error parsing "${text}": invalid unit specifier '${unit}'.`);
  const size = decimal(text) * 1024 ** power;
  if (size < 0) throw new Refused(`Negative memory pool size: ${size}`);
  return size;
}

function checkValue(flag: string, value: string, version: ReadVersion): void {
  const atLeast = (major: number, minor: number) =>
    version.major > major || (version.major === major && version.minor >= minor);
  const oneOf = (what: string, allowed: readonly string[], text = value) => {
    if (text !== '' && !allowed.includes(text)) throw new Refused(`Unknown ${what}: ${text}`);
  };
  switch (flag) {
    case '--hardwareCompatibilityLevel':
      oneOf(
        'hardwareCompatibilityLevel',
        ['none', 'ampere+', ...(atLeast(10, 9) ? ['samecomputecapability'] : [])],
        value.toLowerCase(),
      );
      break;
    case '--profilingVerbosity':
      oneOf('profilingVerbosity', ['layer_names_only', 'detailed', 'none', 'default', 'verbose']);
      break;
    case '--sparsity':
      if (!['disable', 'enable', 'force'].includes(value)) throw new Refused(`Unknown sparsity mode: ${value}`);
      break;
    case '--allocationStrategy':
      oneOf('allocationStrategy', ['static', 'profile', 'runtime']);
      break;
    case '--useRuntime':
      oneOf('useRuntime', ['full', 'lean', 'dispatch']);
      break;
    case '--runtimePlatform':
      oneOf('runtime platform', ['SameAsBuild', 'WindowsAMD64']);
      break;
    case '--tacticSources': {
      const gone = atLeast(11, 0) ? [] : ['CUBLAS', 'CUBLAS_LT', 'CUDNN'];
      for (const source of split(value, ',')) {
        if (!/^[+-]/.test(source)) throw new Refused('Tactic source must be prefixed with + or -, …');
        oneOf('tactic source', ['EDGE_MASK_CONVOLUTIONS', 'JIT_CONVOLUTIONS', ...gone], source.slice(1).toUpperCase());
      }
      break;
    }
    case '--preview': {
      const features = [
        ...(atLeast(11, 0) ? [] : ['profileSharing0806']),
        ...(atLeast(10, 0) ? [] : ['fasterDynamicShapes0805']),
        ...(atLeast(10, 3) ? ['aliasedPluginIO1003'] : []),
        ...(atLeast(10, 10) ? ['runtimeActivationResize'] : []),
      ];
      for (const feature of split(value, ',')) {
        if (!/^[+-]/.test(feature)) throw new Refused('Preview features must be prefixed with + or -, …');
        oneOf('preview feature', features, feature.slice(1));
      }
      break;
    }
    case '--inputIOFormats':
    case '--outputIOFormats':
      for (const format of split(value, ',')) {
        if (format.includes(':') === atLeast(11, 0)) throw new Refused(`Invalid TensorFormat ${format}`);
      }
      break;
    case '--weightStreamingBudget':
      if (value.endsWith('%') && !(decimal(value) >= 0 && decimal(value) <= 100)) {
        throw new Refused('The weight streaming percent must be between 0 and 100.');
      }
      break;
  }
}

function checkTogether(flags: ReadonlyMap<string, unknown>, version: ReadVersion): void {
  if (flags.has('--loadEngine') && flags.has('--saveEngine')) {
    throw new Refused('Incompatible load and save engine options selected');
  }
  if (!flags.has('--onnx') && !flags.has('--loadEngine') && !flags.has('--helpBuildRoute')) {
    throw new Refused('Model missing or format not recognized');
  }
  if (flags.has('--weightStreamingBudget') && !flags.has('--allowWeightStreaming')) {
    throw new Refused('The weight streaming budget can only be set with --allowWeightStreaming specified.');
  }
  if (['lean', 'dispatch'].includes(String(flags.get('--useRuntime'))) && !flags.has('--loadEngine')) {
    throw new Refused('Building a TensorRT engine requires --useRuntime=full.');
  }
  if (version.major < 11 && flags.has('--fp8') && flags.has('--int8')) {
    throw new Refused("Invalid usage, fp8 and int8 aren't allowed to be enabled together.");
  }
  if (flags.has('--loadRefOutputs') && flags.has('--skipInference')) {
    throw new Refused('--loadRefOutputs/--refPair cannot be used with --skipInference: …');
  }
}

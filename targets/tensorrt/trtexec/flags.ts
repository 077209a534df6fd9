import { atLeast, formatVersion, type TensorrtVersion } from '../versions.ts';

/** What stands behind a flag: nothing (trtexec does not look at it), or something that has to be there. */
export type FlagValue = 'none' | 'required';

/** A flag of trtexec: which versions have it, and what it takes. */
export interface TrtexecFlag {
  readonly value: FlagValue;
  /** First version that has it; before 10.0 where undefined. */
  readonly since?: string;
  /** First version that has it no more. */
  readonly until?: string;
  /** It may be given several times. */
  readonly repeats?: true;
  /** Values that some versions have and others have not, by a part of the value. */
  readonly values?: Readonly<Record<string, Pick<TrtexecFlag, 'since' | 'until'>>>;
}

type Lifetime = Pick<TrtexecFlag, 'since' | 'until'>;

const weaklyTyped: Lifetime = { until: '11.0' };

/** Flags by name; `group` lists those that came and went together. */
function group(value: FlagValue, names: string, lifetime: Lifetime = {}): Record<string, TrtexecFlag> {
  return Object.fromEntries(names.split(/\s+/).map((name) => [`--${name}`, { value, ...lifetime }]));
}

const before10: Lifetime = { until: '10.0' };

/**
 * Every flag of the option parsers of 10.0 to 11.1, each release's own, with when it came and when it went, and those
 * that 10.0 took away, which are still told of in many places. A flag that is not here is one of a later release, or a mistake.
 */
export const trtexecFlags: Readonly<Record<string, TrtexecFlag>> = {
  ...group('required', 'onnx saveEngine loadEngine minShapes optShapes maxShapes shapes profile useProfile'),
  ...group(
    'required',
    `memPoolSize timingCacheFile builderOptimizationLevel avgTiming maxAuxStreams sparsity profilingVerbosity
    hardwareCompatibilityLevel useRuntime leanDLLPath tempdir tempfileControls layerDeviceTypes markDebug
    saveDebugTensors weightStreamingBudget allocationStrategy inputIOFormats outputIOFormats tacticSources preview
    iterations warmUp duration avgRuns percentile infStreams streams sleepTime idleTime persistentCacheRatio loadInputs
    exportTimes exportProfile exportLayerInfo exportOutput device useDLACore`,
  ),
  ...group(
    'none',
    `skipInference noTF32 stronglyTyped refit stripWeights allowWeightStreaming versionCompatible vc excludeLeanRuntime
    noBuilderCache errorOnTimingCacheMiss noCompilationCache directIO safe buildDLAStandalone allowGPUFallback
    getPlanVersionOnly pluginInstanceNorm pi ignoreParsedPluginLibs noDataTransfers useCudaGraph useSpinWait
    separateProfileRun threads exposeDMA useManagedMemory timeDeserialize timeRefit dumpRefit dumpOutput dumpProfile
    dumpLayerInfo dumpOptimizationProfile dumpRawBindingsToFile verbose help`,
  ),
  ...Object.fromEntries(
    ['staticPlugins', 'dynamicPlugins', 'setPluginsToSerialize', 'plugins'].map((name) => [
      `--${name}`,
      { value: 'required', repeats: true } as const,
    ]),
  ),
  ...group('none', 'buildOnly explicitBatch explicitPrecision heuristic', before10),
  ...group('required', 'workspace minTiming nvtxMode', before10),
  ...group('none', 'fp16 bf16 fp8 int8 best weightless restricted', weaklyTyped),
  ...group(
    'required',
    `calib calibProfile minShapesCalib optShapesCalib maxShapesCalib layerPrecisions layerOutputTypes
    precisionConstraints`,
    weaklyTyped,
  ),
  ...group('none', 'int4', { since: '10.1', until: '11.0' }),
  ...group('none', 'stripAllWeights', { since: '10.1' }),
  ...group('required', 'runtimePlatform', { since: '10.2' }),
  ...group('required', 'maxTactics', { since: '10.4' }),
  ...group('none', 'monitorMemory', { since: '10.6' }),
  ...group('none', 'asyncFileReader', { since: '10.7' }),
  ...group('required', 'tilingOptimizationLevel l2LimitForTiling', { since: '10.8' }),
  ...group('none', 'uint8AsymmetricQuantizationDLA', { since: '10.11' }),
  ...group('none', 'distributiveIndependence markUnfusedTensorsAsDebugTensors', { since: '10.12' }),
  ...group('required', 'saveAllDebugTensors', { since: '10.12' }),
  // 10.0 to 10.3 had --consistency as well; it means something with --safe only.
  ...group('none', 'dumpKernelText consistency', { since: '10.13' }),
  ...group('required', 'remoteAutoTuningConfig', { since: '10.13' }),
  ...group('required', 'decomposableAttentions refitFromOnnx', { since: '10.14' }),
  ...group('none', 'enablePluginOverride cpuOnly', { since: '10.15' }),
  ...group('none', 'adjustForDLA reportCapabilityDLA', { since: '10.16' }),
  ...group('none', 'includeDataTransfers noCudaGraph noSpinWait', { since: '11.0' }),
  ...group('none', 'saveAllEngines dryRun continue', { since: '11.1' }),
  ...group(
    'required',
    `setBuildRoute tuneBuildRoutes tuneBuildRouteFile tuningSearch tuningCacheFile tuningResultFile tuningTimeOut
    loadRefOutputs refPair accuracyAlgorithm accuracyThreshold atol rtol`,
    { since: '11.1' },
  ),
  // With a name it explains one route, without it all of them.
  ...group('none', 'helpBuildRoute', { since: '11.1' }),
  '--hardwareCompatibilityLevel': { value: 'required', values: { sameComputeCapability: { since: '10.9' } } },
  '--preview': {
    value: 'required',
    values: {
      fasterDynamicShapes0805: before10,
      profileSharing0806: weaklyTyped,
      aliasedPluginIO1003: { since: '10.3' },
      runtimeActivationResize: { since: '10.10' },
    },
  },
  '--tacticSources': { value: 'required', values: { CUBLAS: weaklyTyped, CUBLAS_LT: weaklyTyped, CUDNN: weaklyTyped } },
};

/**
 * Why the option parser of a version refuses a flag, or a value of it, in a few words; undefined where it takes it. A
 * flag that the table does not know is not refused: it may be one of a later release.
 * @param flag with its dashes
 */
export function refusalOf(flag: string, value: string, version: TensorrtVersion): string | undefined {
  const known = trtexecFlags[flag];
  if (!known) return undefined;
  const gone = outside(known, version);
  if (gone !== undefined) return `TensorRT ${formatVersion(version)} has no ${flag}: ${gone}`;
  const parts = value.split(',').map((part) => part.replace(/^[+-]/, '').toLowerCase());
  for (const [name, lifetime] of Object.entries(known.values ?? {})) {
    const outdated = parts.includes(name.toLowerCase()) ? outside(lifetime, version) : undefined;
    if (outdated !== undefined) return `TensorRT ${formatVersion(version)} has no ${flag}=${name}: ${outdated}`;
  }
  if (/^--(in|out)putIOFormats$/.test(flag) && value.includes(':') === atLeast(version, 11, 0)) {
    return `TensorRT ${formatVersion(version)} takes ${flag} ${atLeast(version, 11, 0) ? 'without types: chw' : 'with types: fp16:chw'}`;
  }
  return undefined;
}

function outside({ since, until }: Lifetime, version: TensorrtVersion): string | undefined {
  if (since !== undefined && !isFrom(version, since)) return `it came with ${since}`;
  if (until !== undefined && isFrom(version, until)) return `it went with ${until}`;
  return undefined;
}

function isFrom(version: TensorrtVersion, first: string): boolean {
  const [major = 0, minor = 0] = first.split('.').map(Number);
  return atLeast(version, major, minor);
}

/** The versions of {@link observed}, in its order. */
export const observedVersions = [
  { major: 8, minor: 6, patch: 1 },
  { major: 10, minor: 0, patch: 1 },
  { major: 10, minor: 16, patch: 0 },
  { major: 11, minor: 0, patch: 0 },
  { major: 11, minor: 1, patch: 0 },
];

const table = `
yyynn --fp16
nyynn --bf16
yyynn --fp8
yyynn --int8
nnynn --int4
yyynn --best
nnnnn --fp8 --int8
nyyyy --stronglyTyped
nyynn --stronglyTyped --fp16
yyyyy --noTF32
ynnnn --buildOnly
yyyyy --skipInference
ynnnn --workspace=100
yyyyy --memPoolSize=workspace:100
yyyyy --memPoolSize=workspace:4G
nyyyy --memPoolSize=tacticSharedMem:48K
ynnnn --explicitBatch
nyyyy --profile=0 --minShapes=x:1 --optShapes=x:2 --maxShapes=x:3
nyyyy --useProfile=0
yyyyy --shapes=x:1
nyynn --weightless
nyyyy --stripWeights
nnyyy --stripAllWeights
yyyyy --refit
nyyyy --allowWeightStreaming
nyyyy --allowWeightStreaming --weightStreamingBudget=20M
nnyyy --runtimePlatform=WindowsAMD64
yyyyy --hardwareCompatibilityLevel=ampere+
nnyyy --hardwareCompatibilityLevel=sameComputeCapability
yyyyy --versionCompatible
yyyyy --excludeLeanRuntime
ynnnn --heuristic
yyyyy --builderOptimizationLevel=5
nnyyy --maxTactics=3
yyynn --calib=x
yyynn --layerPrecisions=a:fp16 --precisionConstraints=obey
yyynn --inputIOFormats=fp16:chw
nnnyy --inputIOFormats=chw
yyynn --tacticSources=-CUDNN
yyynn --tacticSources=-CUBLAS_LT
yyyyy --tacticSources=-JIT_CONVOLUTIONS
nnyyy --tilingOptimizationLevel=1
yyyyy --noDataTransfers
nnnyy --includeDataTransfers
nnnyy --noCudaGraph
yyyyy --useCudaGraph
yyyyy --useSpinWait
nnnyy --noSpinWait
yyyyy --separateProfileRun
yyyyy --loadInputs=a:b
yyynn --preview=+profileSharing0806
ynnnn --preview=+fasterDynamicShapes0805
nnyyy --preview=+aliasedPluginIO1003
nnyyy --preview=+runtimeActivationResize
yyyyy --plugins=a.so
yyyyy --staticPlugins=a.so
yyyyy --dynamicPlugins=a.so
yyyyy --setPluginsToSerialize=a.so
yyyyy --streams=2
yyyyy --infStreams=2
yyyyy --maxAuxStreams=0
yyyyy --timingCacheFile=t
nyyyy --errorOnTimingCacheMiss
nyyyy --noCompilationCache
yyyyy --sparsity=enable
yyyyy --sparsity=force
yyyyy --profilingVerbosity=detailed
yyyyy --exportLayerInfo=x
yyyyy --exportProfile=x
yyyyy --exportTimes=x
nyyyy --dumpOptimizationProfile
nyyyy --allocationStrategy=profile
nnyyy --asyncFileReader
nyyyy --getPlanVersionOnly
nnyyy --decomposableAttentions=a
nnyyy --refitFromOnnx=b
nnnny --setBuildRoute=x
nnnny --tuneBuildRoutes=x
nnyyy --markUnfusedTensorsAsDebugTensors
nnyyy --distributiveIndependence
nnyyy --enablePluginOverride
`;

/**
 * What trtexec's own option parser, of the versions above, said to `--onnx=m` and these arguments: nobody's reading of
 * it, but what was seen when it ran.
 */
export const observed: readonly { readonly args: readonly string[]; readonly accepted: readonly boolean[] }[] = table
  .trim()
  .split('\n')
  .map((line) => {
    const [cells, ...args] = line.split(' ');
    return { args, accepted: [...cells!].map((cell) => cell === 'y') };
  });

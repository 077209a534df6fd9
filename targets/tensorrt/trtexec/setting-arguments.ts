import type { BuildSettings } from './build-job.ts';

/** Arguments that stand for settings, in a fixed order; `extra` is not among them. */
export function settingArguments(settings: BuildSettings): readonly string[] {
  const { hardwareCompatibility = 'none', optimizationLevel, workspace } = settings;
  return [
    ...(settings.tf32 ? [] : ['--noTF32']),
    ...(settings.errorOnTimingCacheMiss ? ['--errorOnTimingCacheMiss'] : []),
    ...(optimizationLevel === undefined ? [] : [`--builderOptimizationLevel=${optimizationLevel}`]),
    ...(workspace === undefined ? [] : [`--memPoolSize=workspace:${workspace}`]),
    ...(settings.versionCompatible ? ['--versionCompatible'] : []),
    ...(hardwareCompatibility === 'none' ? [] : [`--hardwareCompatibilityLevel=${hardwareCompatibility}`]),
    ...(settings.stripWeights ? ['--stripWeights'] : []),
    ...(settings.weightStreaming ? ['--allowWeightStreaming'] : []),
  ];
}

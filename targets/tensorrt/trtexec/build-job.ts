import type { EnginePlan } from '../engine-plan.ts';
import type { TensorrtVersion } from '../versions.ts';

/** How engines are built, beyond what the graph and its profiles say. Each has a flag of `rtc compile`. */
export interface BuildSettings {
  /** Lets products of f32 be computed in TF32, which loses 13 bits; off by default, so that f32 means f32. */
  readonly tf32: boolean;
  /** 0 to 5; trtexec's own default where undefined. */
  readonly optimizationLevel?: number | undefined;
  /** With a unit, as trtexec takes it: `4G`. */
  readonly workspace?: string | undefined;
  readonly versionCompatible: boolean;
  readonly hardwareCompatibility?: 'none' | 'ampere+' | 'sameComputeCapability' | undefined;
  readonly stripWeights: boolean;
  readonly weightStreaming: boolean;
  readonly errorOnTimingCacheMiss: boolean;
  /** Passed on as they are, after everything else: what stands behind `--`. */
  readonly extra: readonly string[];
}

/** One call of trtexec that builds an engine. Paths are relative to the folder it runs in, the package's own. */
export interface BuildJob {
  readonly version: TensorrtVersion;
  readonly engine: EnginePlan;
  /** Where trtexec writes the engine; it takes its name only when it is whole. */
  readonly saveTo: string;
  readonly timingCache: string;
  readonly settings: BuildSettings;
  /** Names of Attention nodes that may be computed in parts where no fused kernel fits. */
  readonly attentions: readonly string[];
}

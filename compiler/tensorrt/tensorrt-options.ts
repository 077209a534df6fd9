import type { BuildSettings } from '../../targets/tensorrt/trtexec/build-job.ts';

/**
 * What `rtc compile --target tensorrt` is asked for. Every option has the flag of the same name, but `tf32`, which is
 * `--allow-tf32`, `hardwareCompatibility`, whose values are written with dashes, and what stands behind `--`.
 */
export interface TensorrtOptions extends Partial<Omit<BuildSettings, 'extra'>> {
  /** Version that graphs are written for: what trtexec reports, else 10.16. */
  readonly tensorrtVersion?: string;
  /** `native`: an Attention node; `parts`: what it is made of; `auto` (default): native where 16 bits and the version allow. */
  readonly attention?: 'auto' | 'native' | 'parts';
  /** Rows of a step, 16 by default. */
  readonly maxRows?: number;
  /** Positions of a sequence; by default what the model's config says, at most 4096. */
  readonly maxContext?: number;
  /** Prompt tokens of a row in one step, 128 by default. */
  readonly prefillChunk?: number;
  /** Share of the tokens that leave behind each loop; by default all run all loops. */
  readonly exitShares?: readonly number[];
  /** Loops of a token on average, in place of `exitShares`. */
  readonly meanLoops?: number;
  /** One engine for each profile, in place of one with all: a little faster, and weights once in each. */
  readonly separateEngines?: boolean;
  /** False: writes everything but engines, and does not look for trtexec. */
  readonly build?: boolean;
  /** Path of trtexec; by default `TRTEXEC`, what is on PATH, and the usual places. */
  readonly trtexec?: string;
  /** Seconds that one engine may take; no limit by default. */
  readonly buildTimeout?: number;
  /** A timing cache to start from, in place of the package's own. */
  readonly timingCache?: string;
  /** SHA-256 that `timingCache` has to have. */
  readonly timingCacheSha256?: string;
  /** Folder of engines that were built before; none by default. */
  readonly cacheDir?: string;
  /** What stands behind `--`: goes to trtexec as it is. */
  readonly trtexecArguments?: readonly string[];
}

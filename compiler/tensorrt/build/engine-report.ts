import type { Diagnostic } from '../../../files/diagnostics.ts';
import type { TensorrtFacts } from '../../../files/manifest.ts';
import type { PlanStamp } from '../../../files/plan-stamp.ts';

/** What became of the engines of a package. */
export interface EngineReport extends Pick<TensorrtFacts, 'version' | 'attention'> {
  /** Those that the package is meant for. */
  readonly planned: TensorrtFacts['engines'];
  /** Those that were built: all, or none. */
  readonly plans: readonly PlanStamp[];
  /** Why none was built although they were wanted: errors. The package is whole all the same. */
  readonly unbuilt: readonly Diagnostic[];
  /** Why profiles are as they are, line by line. */
  readonly explanation: readonly string[];
}

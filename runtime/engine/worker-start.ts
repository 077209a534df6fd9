import type { Package } from '../../files/package.ts';
import type { CoreOptions } from '../depth-batched/core.ts';
import type { StepModelOptions } from '../depth-batched/open-step-model.ts';

/** What a worker is started with. */
export interface WorkerStart {
  readonly package: Package;
  readonly model: StepModelOptions;
  readonly core: CoreOptions;
}

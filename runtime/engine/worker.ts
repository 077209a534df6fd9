import { failure, type Result, success } from '../../files/diagnostics.ts';
import { createCore } from '../depth-batched/create-core.ts';
import { openStepModel } from '../depth-batched/open-step-model.ts';
import { type OpenCore, runWorker } from './run-worker.ts';
import type { WorkerStart } from './worker-start.ts';

// The thread of an engine begins here.
await runWorker(async (start: WorkerStart): Promise<Result<OpenCore>> => {
  // Loaded now or never: a server that starts is one that can serve.
  const propagate = start.core.kvPolicy === 'propagate';
  const model = await openStepModel(start.package, { ...start.model, propagate });
  if (!model.ok) return failure(...model.diagnostics);
  return success({ core: createCore(model.value, start.core), close: model.value.close });
});

import { join } from 'node:path';
import { type Result, success } from '../../files/diagnostics.ts';
import { mainGraph, type Package, propagateGraph } from '../../files/package.ts';
import { openSession, RuntimeFailure } from '../session.ts';
import { createStepModel } from './create-step-model.ts';
import type { StepModel } from './step-model.ts';
import { stepShape } from './step-shape.ts';

/** Memory and threads of a {@link StepModel}. */
export interface StepModelOptions {
  /** Pages of the block's layers to hand out; page 0, which is only padding, comes on top. */
  readonly pages: number;
  /** The same for prelude and coda; nothing for a model without. */
  readonly boundaryPages?: number;
  /**
   * Writes every page once before the first step. Without, the system hands memory out as pages are first written to,
   * within steps: cheaper when most pages are never used, and a millisecond here and there when they are.
   */
  readonly warm?: boolean;
  /** Loads propagate.onnx at once. Without, it is loaded when the first token leaves early under that policy. */
  readonly propagate?: boolean;
  /** Threads of ONNX Runtime inside one operator; by default every physical core. */
  readonly threads?: number;
}

/**
 * Loads the step graph of a depth-batched package into ONNX Runtime and makes its pages. Fails when the package is of
 * another form or computes in bfloat16, and when ONNX Runtime refuses the graph.
 */
export async function openStepModel(
  { folder, manifest }: Package,
  options: StepModelOptions,
): Promise<Result<StepModel>> {
  const shape = stepShape(manifest);
  if (!shape.ok) return shape;
  const { threads } = options;
  const step = await openSession(join(folder, mainGraph(manifest).file), threads === undefined ? {} : { threads });
  if (!step.ok) return step;
  // A second pool of threads would fight the first one.
  const propagate = propagateGraph(manifest);
  const openPropagate = () => openSession(join(folder, propagate!), { threads: 1 });
  const opened = options.propagate === true && propagate !== undefined ? await openPropagate() : undefined;
  if (opened?.ok === false) {
    await step.value.close();
    return opened;
  }
  const openLater = async () => {
    const late = await openPropagate();
    if (!late.ok) throw new RuntimeFailure(late.diagnostics[0]!);
    return late.value;
  };
  const { pages, boundaryPages = 0, warm = false } = options;
  return success(
    createStepModel({
      shape: shape.value,
      layers: manifest.cache.layers,
      step: step.value,
      propagate: opened?.value ?? openLater,
      pages,
      boundaryPages,
      warm,
    }),
  );
}

import type { Graph } from '../ir/graph.ts';
import { anatomyOf } from './depth-batch/anatomy.ts';
import { type StepOptions, stepGraph } from './depth-batch/step-graph.ts';
import type { Pass } from './pass.ts';
import type { StoredLayers } from './stack-cache.ts';

export interface DepthBatchOptions extends StepOptions {
  /** How the model says that its layers run. */
  readonly layers: StoredLayers;
}

/**
 * Makes a step of a whole model: one loop of the shared block, for rows that may be at different depths.
 */
export function depthBatch({ layers, ...options }: DepthBatchOptions): Pass<'folded', 'folded'> {
  return {
    name: 'depth-batch',
    options: { ...layers, ...options },
    numerics: 'exact',
    changesInterface: true,
    run(graph, { note }): Graph<'folded'> {
      const anatomy = anatomyOf(graph, layers);
      const { prelude, block, coda } = anatomy.layers;
      note(
        `A step runs ${block.length} layers; ${prelude.length} in front and ${coda.length} behind, where rows say so.`,
      );
      return stepGraph(anatomy, options);
    },
  };
}

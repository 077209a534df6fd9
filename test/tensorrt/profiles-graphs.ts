import * as fc from 'fast-check';
import type { GraphTensor } from '../../files/manifest.ts';
import { graphBuilder } from '../../ir/builder.ts';
import type { Value } from '../../ir/graph.ts';
import { tensor } from '../../ir/tensor-type.ts';
import type { Anatomy } from '../../passes/depth-batch/anatomy.ts';
import { stepInputs } from '../../passes/depth-batch/step-inputs.ts';
import { expectedRows } from '../../simulate/expected-rows.ts';
import type { ProfilePolicy } from '../../targets/tensorrt/profiles/policy.ts';

export interface GraphOptions {
  readonly prelude: number;
  readonly block: number;
  readonly coda: number;
  readonly groups: number;
  readonly pageSize: number;
}

/** A graph as planEngines is given it. */
export interface PlannedGraph {
  readonly file: string;
  readonly inputs: readonly GraphTensor[];
}

/** Inputs of step.onnx of a model with these layers: what the pass itself adds, not what somebody says that it does. */
export function stepGraph({ prelude, block, coda, groups, pageSize }: GraphOptions): PlannedGraph {
  const builder = graphBuilder('step');
  const added: Value[] = [];
  const recording = {
    ...builder,
    input: (...args: Parameters<typeof builder.input>) => {
      const value = builder.input(...args);
      added.push(value);
      return value;
    },
  };
  let stored = 0;
  const layers = (count: number) =>
    Array.from({ length: count }, () => {
      const entry = builder.input(`entry.${stored}`, tensor('f16', ['batch', 2, 'sequence', 8]));
      return { stored: stored++, key: entry, value: entry };
    });
  const final = builder.input('final', tensor('f16', ['batch', 'sequence', 24]));
  // Of a decoder the inputs of its step depend on nothing else.
  const anatomy = {
    final,
    layers: { prelude: layers(prelude), block: layers(block), coda: layers(coda), readBy: new Map() },
  } as unknown as Anatomy;
  stepInputs(recording, anatomy, { pageSize, groups });
  return {
    file: 'step.onnx',
    inputs: added.map(({ name, type }) => ({ name, dtype: type.dtype, dims: [...type.dims] })),
  };
}

export const propagateGraph: PlannedGraph = {
  file: 'propagate.onnx',
  inputs: [
    { name: 'hidden', dtype: 'f16', dims: ['n', 24] },
    { name: 'depth', dtype: 'i64', dims: ['n'] },
    { name: 'position_ids', dtype: 'i64', dims: ['n'] },
  ],
};

/** As Hugging Face's exporters have it. */
export function unrolledGraph(layers: number): PlannedGraph {
  const ids = (name: string, length: string): GraphTensor => ({ name, dtype: 'i64', dims: ['batch', length] });
  return {
    file: 'model.onnx',
    inputs: [
      ids('input_ids', 'sequence'),
      ids('attention_mask', 'past+sequence'),
      ids('position_ids', 'sequence'),
      ...Array.from({ length: layers }, (_, i) => i).flatMap((i) =>
        ['key', 'value'].map(
          (part): GraphTensor => ({
            name: `past_key_values.${i}.${part}`,
            dtype: 'f32',
            dims: ['batch', 2, 'past', 8],
          }),
        ),
      ),
    ],
  };
}

/** What the compiler makes of a number of slots and of exits. */
export function policyOf(
  policy: Omit<ProfilePolicy, 'tuneFor' | 'loops' | 'exits'> & { readonly exits: readonly number[] },
): ProfilePolicy {
  const { tuneFor } = expectedRows({ slots: policy.maxRows, exits: policy.exits });
  return { ...policy, exits: [...policy.exits], loops: policy.exits.length, tuneFor };
}

/** Any policy that a person may ask for. */
export const policies: fc.Arbitrary<ProfilePolicy> = fc
  .record({
    groups: fc.integer({ min: 1, max: 5 }),
    moreRows: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 80 })),
    smallRows: fc.integer({ min: 1, max: 12 }),
    maxContext: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 70_000 })),
    chunkShare: fc.double({ min: 0, max: 1, noNaN: true }),
    pageSize: fc.constantFrom(16, 64, 128),
    weights: fc.array(fc.constantFrom<number[]>(0, 0, 1, 2, 5), { minLength: 1, maxLength: 5 }),
  })
  .map(({ groups, moreRows, smallRows, maxContext, chunkShare, pageSize, weights }) => {
    // The last loop is always an exit.
    const shares = [...weights.slice(0, -1), weights.at(-1)! || 1];
    const sum = shares.reduce((a, b) => a + b, 0);
    const maxRows = groups + moreRows;
    return policyOf({
      groups,
      maxRows,
      smallRows: Math.min(smallRows, maxRows),
      maxContext,
      prefillChunk: Math.max(1, Math.ceil(maxContext * chunkShare)),
      pageSize,
      exits: shares.map((share) => share / sum),
    });
  });

/** Any policy, and the graphs of a model for it. */
export const plannedCases = fc
  .record({
    policy: policies,
    prelude: fc.integer({ min: 0, max: 2 }),
    block: fc.integer({ min: 1, max: 2 }),
    coda: fc.integer({ min: 0, max: 2 }),
    unrolled: fc.boolean(),
    separate: fc.boolean(),
  })
  .map(({ policy, prelude, block, coda, unrolled, separate }) => {
    const { groups, pageSize, loops } = policy;
    const step = stepGraph({ prelude, block, coda, groups, pageSize });
    return {
      policy,
      separate,
      form: unrolled ? ('unrolled' as const) : ('depth-batched' as const),
      graphs: unrolled ? [unrolledGraph(block)] : loops > 1 ? [step, propagateGraph] : [step],
    };
  });

import type { TritonModelConfig } from './model-config.ts';

/** How a model is served. */
export interface ServingPolicy {
  /** Rows of a step, and sequences in flight. */
  readonly maxRows: number;
  /** Rows of a step with prompts. */
  readonly smallRows: number;
  /** Positions of a sequence. */
  readonly maxContext: number;
  /** Prompt tokens of a row in one step. */
  readonly prefillChunk: number;
}

/** What config.pbtxt follows from. */
export interface DriverConfigFacts {
  readonly name: string;
  readonly policy: ServingPolicy;
  /** Positions of a page. */
  readonly pageSize: number;
  /** Whether engines for a GPU are meant to run the graphs. */
  readonly onGpu: boolean;
}

/** New tokens of a request that does not say how many. */
const usualNewTokens = 64;

/**
 * Triton takes a sequence for dead that was not put back for so long: above the longest step, as whoever is taken for
 * dead by mistake never gets an answer; and no longer than that, as a request that is cancelled while it waits for its
 * next step keeps its place until then.
 */
const idleMicroseconds = 10_000_000;

/**
 * config.pbtxt of the driver. As many sequences are in flight as a step has rows, with pages for all of them at their
 * longest, so that nobody who was let in waits for memory.
 */
export function driverConfig({ name, policy, pageSize, onGpu }: DriverConfigFacts): TritonModelConfig {
  const { maxRows, smallRows, maxContext, prefillChunk } = policy;
  return {
    name,
    maxBatchSize: maxRows,
    maxCandidates: maxRows,
    idleMicroseconds,
    kind: onGpu ? 'KIND_GPU' : 'KIND_CPU',
    // What else a request may say are parameters of it: Triton keeps requests with other optional inputs apart, and a
    // step that only some of those who are there may share is what all this is meant to avoid.
    inputs: [{ name: 'input_ids', dataType: 'TYPE_INT64', dims: [-1], ragged: true }],
    outputs: [
      { name: 'token', dataType: 'TYPE_INT64', dims: [1] },
      { name: 'exit_loop', dataType: 'TYPE_INT32', dims: [1] },
    ],
    parameters: {
      engine: {
        value: onGpu ? 'tensorrt' : 'onnxruntime',
        what: 'What runs the graphs: tensorrt (plans that lie beside them) or onnxruntime',
      },
      kv_policy: {
        value: 'last-exited',
        what: 'Keys and values of loops that a token skips: last-exited, propagate or complete',
      },
      max_rows: { value: String(maxRows), what: 'Rows of a step' },
      prefill_rows: { value: String(smallRows), what: 'Rows of a step with prompts' },
      prefill_chunk: { value: String(prefillChunk), what: 'Prompt tokens of such a step' },
      spans: {
        value: String(maxRows * Math.ceil(maxContext / pageSize)),
        what: `Memory: ${pageSize} positions each, at every depth. Requests wait while those of others are taken`,
      },
      max_new_tokens: { value: String(usualNewTokens), what: 'New tokens of a request that does not say how many' },
      steps_per_execute: { value: '1', what: 'More: less of Triton between steps, and newcomers wait longer' },
      threads: { value: '0', what: 'Threads of ONNX Runtime; 0: one for each core' },
    },
  };
}

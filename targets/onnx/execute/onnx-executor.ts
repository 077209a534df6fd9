import { type Diagnostic, failure, type Result, success } from '../../../files/diagnostics.ts';
import type { Value } from '../../../ir/graph.ts';
import { bindSizes } from '../../../ir/interpret/bind-sizes.ts';
import { roundTensor } from '../../../ir/interpret/round-tensor.ts';
import type { Tensor } from '../../../ir/interpret/tensor.ts';
import { allNodes, type OnnxValueInfo } from '../onnx-model.ts';
import { decodeModel } from '../proto.ts';
import { inputValue } from './declared-types.ts';
import { describeNode, ExecutionError } from './execution-error.ts';
import { findKernel, isControl } from './find-kernel.ts';
import type { ReadExternal } from './load-tensor.ts';
import { planGraph } from './plan-graph.ts';
import { type RunState, runGraph } from './run-graph.ts';

/** A model ready to be executed, any number of times. */
export interface OnnxExecutor {
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
  /** Takes all inputs by name and gives all outputs; or says which node does not work, and why. */
  readonly run: (feeds: ReadonlyMap<string, Tensor>) => Promise<Result<ReadonlyMap<string, Tensor>>>;
}

/**
 * Executes ONNX models as they are written: node by node, in float64, each result rounded to its type and compared with
 * the type and shape that the model declares. It knows nothing of how rtc lowers, so it can judge the files that rtc
 * writes, also in types that ONNX Runtime cannot compute in.
 *
 * External data is read when a node first asks for it. What is made of weights alone is made once, and remembered.
 * A model that cannot be read, or has operators that are not known here, is a failure that names them all.
 * @param file what to call the model in diagnostics
 */
export function createOnnxExecutor(
  bytes: Uint8Array,
  readExternal: ReadExternal,
  file = 'model.onnx',
): Result<OnnxExecutor> {
  const decoded = decodeModel(bytes, file);
  if (!decoded.ok) return decoded;
  const { graph } = decoded.value;
  const problems: Diagnostic[] = [...allNodes(graph)]
    .filter((node) => !findKernel(node) && !isControl(node))
    .map((node) => ({
      ...executionProblem(file, `${describeNode(node)} has an operator that rtc cannot execute.`, node.name),
      hint: 'Run the model in ONNX Runtime instead.',
    }));
  const initialized = new Set(graph.initializers.map(({ name }) => name));
  // Old models list initializers among the inputs; they keep their values here.
  const inputs = graph.inputs.filter(({ name }) => !initialized.has(name));
  const values: Value[] = [];
  inputs.forEach((input, i) => {
    const value = inputValue(input, i);
    if (value) values.push(value);
    else
      problems.push(
        executionProblem(file, `The input "${input.name}" has no type that rtc computes with.`, input.name),
      );
  });
  if (problems.length > 0) return failure(...problems);

  const plan = planGraph(graph);
  const constants: RunState['constants'] = new Map();
  return success({
    inputs,
    outputs: graph.outputs,
    async run(feeds) {
      const sizes = bindSizes(values, feeds);
      if (typeof sizes === 'string') return failure(executionProblem(file, `The inputs do not fit: ${sizes}.`));
      const rounded = new Map([...feeds].map(([name, tensor]) => [name, roundTensor(tensor)]));
      try {
        const outputs = await runGraph(plan, rounded, { readExternal, constants, sizes });
        return success(new Map(graph.outputs.map(({ name }, i) => [name, outputs[i]!])));
      } catch (error) {
        if (!(error instanceof ExecutionError)) throw error;
        return failure(executionProblem(file, error.message, error.path));
      }
    },
  });
}

function executionProblem(file: string, message: string, path?: string): Diagnostic {
  const location = path === undefined ? { file } : { file, path };
  return { severity: 'error', code: 'onnx-execution', location, message };
}

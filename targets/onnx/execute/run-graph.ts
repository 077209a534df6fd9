import { stack } from '../../../ir/interpret/movement.ts';
import { roundResult } from '../../../ir/interpret/round-tensor.ts';
import { countOf, makeTensor, scalar, type Tensor } from '../../../ir/interpret/tensor.ts';
import { declaredProblem } from './declared-types.ts';
import { describeNode, ExecutionError } from './execution-error.ts';
import { findKernel } from './find-kernel.ts';
import { loadTensor, type ReadExternal } from './load-tensor.ts';
import { attribute, messageOf, nodeCall, refuse } from './node-call.ts';
import type { ConstantSource, GraphPlan, NodeStep } from './plan-graph.ts';

/** What all graphs of a run share. */
export interface RunState {
  readonly readExternal: ReadExternal;
  /** What initializers hold and constant nodes make, for all runs. */
  readonly constants: Map<ConstantSource['made'], readonly (Tensor | undefined)[]>;
  /** What the names of sizes stand for in this run. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** The values that can be seen in a graph: its own, and those of the graph around it. */
interface Surroundings {
  readonly plan: GraphPlan;
  readonly values: Map<string, Tensor>;
  readonly outer: Surroundings | undefined;
}

/** Executes a graph on its inputs and gives its outputs in order. Rejects with an {@link ExecutionError}. */
export async function runGraph(
  plan: GraphPlan,
  inputs: ReadonlyMap<string, Tensor>,
  state: RunState,
  outer?: Surroundings,
): Promise<readonly Tensor[]> {
  const here: Surroundings = { plan, values: new Map(inputs), outer };
  for (const step of plan.steps) {
    const results = await runNode(step, here, state);
    step.node.outputs.forEach((name, i) => {
      const result = results[i];
      if (name !== '' && result) here.values.set(name, result);
    });
    for (const name of step.dead) here.values.delete(name);
  }
  const outputs: Tensor[] = [];
  for (const { name } of plan.graph.outputs) {
    const found = await lookUp(name, here, state);
    outputs.push(found ?? fail(name, `The output "${name}" is made by no node.`));
  }
  return outputs;
}

async function lookUp(name: string, here: Surroundings, state: RunState): Promise<Tensor | undefined> {
  const value = here.values.get(name);
  if (value) return value;
  const source = here.plan.constants.get(name);
  if (source) return (await constantOf(name, source, here, state))[source.index];
  return here.outer && lookUp(name, here.outer, state);
}

async function constantOf(
  name: string,
  { made, kept }: ConstantSource,
  here: Surroundings,
  state: RunState,
): Promise<readonly (Tensor | undefined)[]> {
  const known = state.constants.get(made);
  if (known) return known;
  const results = 'node' in made ? await runNode(made, here, state) : [await loadInitializer(name, made, state)];
  if (kept) state.constants.set(made, results);
  return results;
}

async function loadInitializer(
  name: string,
  tensor: Parameters<typeof loadTensor>[0],
  { readExternal }: RunState,
): Promise<Tensor> {
  try {
    return await loadTensor(tensor, readExternal);
  } catch (error) {
    return fail(name, `The tensor "${name}" ${messageOf(error)}.`);
  }
}

/** Executes one node, rounds what it makes to its type, and compares that with what the model declares. */
async function runNode(step: NodeStep, here: Surroundings, state: RunState): Promise<readonly (Tensor | undefined)[]> {
  const { node } = step;
  const inputs: (Tensor | undefined)[] = [];
  for (const name of node.inputs) {
    const found = name === '' ? undefined : await lookUp(name, here, state);
    if (name !== '' && !found) fail(node.name, `${describeNode(node)} uses "${name}", which nothing has made before.`);
    inputs.push(found);
  }
  try {
    const made = await compute(step, inputs, here, state);
    return made.map((result, i) => {
      const name = node.outputs[i];
      if (!result || name === undefined || name === '') return undefined;
      const rounded = roundResult(result, inputs);
      const declared = here.plan.declared.get(name);
      const problem = declared && declaredProblem(declared, rounded, state.sizes);
      return problem === undefined ? rounded : refuse(problem);
    });
  } catch (error) {
    if (error instanceof ExecutionError) throw error;
    return fail(node.name, `${describeNode(node)} cannot be executed: it ${messageOf(error)}.`);
  }
}

async function compute(
  step: NodeStep,
  inputs: readonly (Tensor | undefined)[],
  here: Surroundings,
  state: RunState,
): Promise<readonly (Tensor | undefined)[]> {
  const { node, bodies } = step;
  const kernel = findKernel(node);
  if (kernel) return kernel(nodeCall(node, inputs));
  switch (node.opType) {
    case 'Constant':
      return [await constantNode(step, state)];
    case 'ConstantOfShape': {
      const value = attribute(node, 'value', 'tensor');
      const filler = value ? await loadTensor(value, state.readExternal) : makeTensor('f32', [1]);
      const shape = [...(inputs[0]?.data ?? refuse('has no shape'))];
      return [makeTensor(filler.dtype, shape, new Float64Array(countOf(shape)).fill(filler.data[0]!))];
    }
    case 'If': {
      const branch = bodies.get(inputs[0]?.data[0] ? 'then_branch' : 'else_branch') ?? refuse('lacks a branch');
      return runGraph(branch, new Map(), state, here);
    }
    default:
      return runLoop(bodies.get('body') ?? refuse('has no body'), inputs, here, state);
  }
}

async function constantNode({ node }: NodeStep, state: RunState): Promise<Tensor> {
  const tensor = attribute(node, 'value', 'tensor');
  if (tensor) return loadTensor(tensor, state.readExternal);
  const [float, int] = [attribute(node, 'value_float', 'float'), attribute(node, 'value_int', 'int')];
  if (float !== undefined) return scalar('f32', float);
  if (int !== undefined) return scalar('i64', int);
  const [floats, ints] = [attribute(node, 'value_floats', 'floats'), attribute(node, 'value_ints', 'ints')];
  if (floats) return makeTensor('f32', [floats.length], floats);
  return ints ? makeTensor('i64', [ints.length], ints) : refuse('has no value');
}

/** ONNX's Loop: at most `trips` times, as long as the condition that goes in and comes out is true. */
async function runLoop(
  body: GraphPlan,
  [trips, condition, ...initial]: readonly (Tensor | undefined)[],
  here: Surroundings,
  state: RunState,
): Promise<readonly Tensor[]> {
  const { inputs, outputs } = body.graph;
  if (inputs.length !== 2 + initial.length || outputs.length <= initial.length) refuse('does not fit its body');
  const most = trips?.data[0] ?? Number.POSITIVE_INFINITY;
  let goesOn = condition === undefined || condition.data[0] !== 0;
  let carried = initial.map((x) => x ?? refuse('leaves a carried value out'));
  const rows: (readonly Tensor[])[] = [];
  for (let i = 0; i < most && goesOn; i++) {
    const given = [scalar('i64', i), scalar('bool', 1), ...carried];
    const results = await runGraph(body, new Map(inputs.map(({ name }, at) => [name, given[at]!])), state, here);
    goesOn = results[0]!.data[0] !== 0;
    carried = results.slice(1, 1 + initial.length);
    rows.push(results.slice(1 + initial.length));
  }
  const scans = outputs.length - 1 - initial.length;
  if (rows.length === 0 && scans > 0) refuse('collects values of no iteration');
  return [...carried, ...Array.from({ length: scans }, (_, at) => stack(rows.map((row) => row[at]!)))];
}

function fail(path: string, message: string): never {
  throw new ExecutionError(path, message);
}

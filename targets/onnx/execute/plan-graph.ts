import type { OnnxGraph, OnnxNode, OnnxTensor, OnnxValueInfo } from '../onnx-model.ts';

/** A graph or body with what the executor looks up again and again. */
export interface GraphPlan {
  readonly graph: OnnxGraph;
  /** The nodes to execute in order: all but the constant ones, which run when somebody asks for what they make. */
  readonly steps: readonly NodeStep[];
  /** Where a value comes from that is the same in every run. */
  readonly constants: ReadonlyMap<string, ConstantSource>;
  readonly declared: ReadonlyMap<string, OnnxValueInfo>;
}

export interface NodeStep {
  readonly node: OnnxNode;
  readonly bodies: ReadonlyMap<string, GraphPlan>;
  /** Names of this graph that nothing asks for after this node. */
  readonly dead: readonly string[];
}

/** An initializer, or a node into which only such values go. */
export interface ConstantSource {
  readonly made: OnnxTensor | NodeStep;
  /** Which of the node's outputs it is. */
  readonly index: number;
  /** False for what only other constants are made of: of a weight and its transpose, one is enough to remember. */
  readonly kept: boolean;
}

/**
 * Plans a graph, bodies included.
 * @param around constants of the graphs around it
 */
export function planGraph(graph: OnnxGraph, around: ReadonlySet<string> = new Set()): GraphPlan {
  const constantNames = new Set(graph.initializers.map((tensor) => tensor.name));
  const isConstant = (node: OnnxNode): boolean =>
    bodiesOf(node).length === 0 && node.inputs.every((n) => n === '' || constantNames.has(n) || around.has(n));
  const constantNodes = new Set<OnnxNode>();
  for (const node of graph.nodes) {
    if (!isConstant(node)) continue;
    constantNodes.add(node);
    for (const output of node.outputs) constantNames.add(output);
  }

  const running = graph.nodes.filter((node) => !constantNodes.has(node));
  const asked = new Set([
    ...graph.outputs.map(({ name }) => name),
    ...running.flatMap((node) => [...namesUsedBy(node)]),
  ]);
  const constants = new Map<string, ConstantSource>();
  for (const made of graph.initializers) constants.set(made.name, { made, index: 0, kept: asked.has(made.name) });
  for (const node of constantNodes) {
    const made: NodeStep = { node, bodies: new Map(), dead: [] };
    node.outputs.forEach((name, index) => {
      // A name that something else has made already, in a malformed model, stays with the first.
      if (!constants.has(name)) constants.set(name, { made, index, kept: asked.has(name) });
    });
  }
  const visible = new Set([...around, ...constantNames]);
  for (const { name } of graph.inputs) if (!constantNames.has(name)) visible.delete(name);
  return {
    graph,
    steps: planSteps(graph, running, visible),
    constants,
    declared: new Map([...graph.valueInfo, ...graph.outputs].map((info) => [info.name, info])),
  };
}

function planSteps(graph: OnnxGraph, nodes: readonly OnnxNode[], constants: ReadonlySet<string>): NodeStep[] {
  const lastUse = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const name of [...node.outputs, ...namesUsedBy(node)]) lastUse.set(name, i);
  });
  const kept = new Set(graph.outputs.map((output) => output.name));
  const own = new Set([...graph.inputs.map((input) => input.name), ...nodes.flatMap((node) => node.outputs)]);
  const dying = new Map<number, string[]>();
  for (const [name, i] of lastUse) {
    if (own.has(name) && !kept.has(name)) dying.set(i, [...(dying.get(i) ?? []), name]);
  }
  return nodes.map((node, i) => ({
    node,
    bodies: new Map(bodiesOf(node).map(([name, body]) => [name, planGraph(body, constants)])),
    dead: dying.get(i) ?? [],
  }));
}

/** Every name that a node or a body in it refers to. */
function* namesUsedBy(node: OnnxNode): Generator<string> {
  yield* node.inputs;
  for (const [, body] of bodiesOf(node)) {
    for (const inner of body.nodes) yield* namesUsedBy(inner);
    for (const output of body.outputs) yield output.name;
  }
}

function bodiesOf(node: OnnxNode): readonly (readonly [string, OnnxGraph])[] {
  return Object.entries(node.attributes).flatMap(([name, attribute]) =>
    attribute.kind === 'graph' ? [[name, attribute.value] as const] : [],
  );
}

import type { LoopOp, Value } from '../../ir/graph.ts';
import type { LoweringContext } from './lowerings.ts';
import type { OnnxGraph } from './onnx-model.ts';
import { int, valueInfo } from './onnx-writer.ts';

/**
 * The IR's loop as an ONNX Loop. Its body sees the main graph, so weights are nobody's input; values for one depth are
 * looked up in their stack by the depth; collected values become scan outputs, which end where the loop did and are
 * filled up with the last entry.
 */
export function lowerLoop({ operands, attrs, results, body }: LoopOp, context: LoweringContext): void {
  const { writer, name } = context;
  const { loops, carried, each, limited, stops } = attrs;
  const first = stops ? 1 : 0;
  const most = writer.constant('i64', [], [loops]);
  const trips = limited
    ? writer.add('Min', [writer.add('Max', [name(operands.at(-1)!), writer.constant('i64', [], [1])]), most])
    : most;
  const [depth, ...parameters] = body.parameters;
  const initial = operands.slice(0, carried);
  const stacks = operands.slice(carried, carried + each).map(name);

  const parameterNames = [depth!, ...parameters.slice(0, carried)].map((parameter) => {
    const fresh = writer.freshName(`/${parameter.name}`);
    writer.bind(parameter, fresh);
    return fresh;
  });
  const conditionIn = writer.freshName('/going_on');
  const outputs: string[] = [];
  const list = writer.collect(() => {
    parameters.slice(carried).forEach((parameter, i) => {
      writer.define('Gather', [stacks[i]!, parameterNames[0]!], [parameter], { attributes: { axis: int(0) } });
    });
    context.lower(body.ops);
    if (stops) outputs.push(writer.add('Not', [name(body.results[0]!)]));
    else outputs.push(writer.add('Identity', [conditionIn]));
    // A body has to compute what it returns, each under a name of its own: neither a parameter nor an outer value.
    for (const value of body.results.slice(first)) outputs.push(writer.add('Identity', [name(value)]));
  });

  const scanned = body.results.slice(first + carried);
  const graph: OnnxGraph = {
    name: 'body',
    docString: '',
    nodes: list.nodes,
    initializers: [],
    inputs: [
      valueInfo(parameterNames[0]!, depth!),
      { name: conditionIn, elementType: 'BOOL', dims: [] },
      ...initial.map((_, i) => valueInfo(parameterNames[1 + i]!, parameters[i]!)),
    ],
    outputs: [
      { name: outputs[0]!, elementType: 'BOOL', dims: [] },
      ...[...initial, ...scanned].map((value, i) => valueInfo(outputs[1 + i]!, value)),
    ],
    valueInfo: list.valueInfo,
  };
  const inputs = [trips, stops ? writer.constant('bool', [], [1]) : '', ...initial.map(name)];
  const attributes = { body: { kind: 'graph' as const, value: graph } };

  if (!limited && !stops) {
    writer.define('Loop', inputs, results, { attributes });
    return;
  }
  const scans = writer.defineSome('Loop', inputs, results.slice(0, carried), scanned.length, { attributes });
  if (scans.length === 0) return;
  // Which entry each depth has: its own, or the last one.
  const ran = writer.add('Shape', [scans[0]!], { attributes: { start: int(0), end: int(1) } });
  const last = writer.add('Sub', [ran, writer.constant('i64', [1], [1])]);
  const entries = writer.add('Min', [writer.constant('i64', [loops], depths(loops)), last]);
  scans.forEach((scan, i) => {
    writer.define('Gather', [scan, entries], [results[carried + i] as Value], { attributes: { axis: int(0) } });
  });
}

function depths(loops: number): readonly number[] {
  return Array.from({ length: loops }, (_, depth) => depth);
}

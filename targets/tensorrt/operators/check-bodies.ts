import type { OnnxGraph, OnnxNode } from '../../onnx/onnx-model.ts';
import { operators, typesIn } from '../operators.ts';
import { checkRegion, lookUp, type Region } from './check-graph.ts';
import { checkNode } from './check-node.ts';
import { listTypes, tensorrtTypeOf, typeName } from './element-types.ts';
import type { Check } from './findings.ts';
import { attributeOf, type NodeFacts } from './node-facts.ts';
import type { Size, ValueFacts } from './value-facts.ts';

type Made = readonly Partial<ValueFacts>[];

/** The parser takes an INT64 from here on for "as often as it likes", and gives the body no number of the iteration. */
const endless = 2 ** 31 - 1;

/** An If: with a constant condition the branch that is taken, else both, which have to look alike. */
export function checkIf(check: Check, facts: NodeFacts, region: Region): Made {
  const { node, parser, report } = facts;
  const branches = ['then_branch', 'else_branch'].map((name) => attributeOf(node, name, 'graph'));
  const [yes, no] = branches;
  checkNode(facts, operators.get('If')!, []);
  if (!yes || !no) {
    report('One of its branches is missing.', 'Export the model again.');
    return [];
  }
  const taken = facts.input(0)?.numbers?.[0];
  const run = (graph: OnnxGraph): readonly (ValueFacts | undefined)[] => runBody(check, facts, region, graph, []);
  if (taken !== undefined) return run(taken ? yes : no).map((value) => ({ ...value, constant: undefined }));
  const [then, otherwise] = [run(yes), run(no)];
  if (then.length !== otherwise.length) {
    report(`Its branches give ${then.length} and ${otherwise.length} values.`, 'Give both branches the same outputs.');
  }
  return then.map((a, i): Partial<ValueFacts> => {
    const b = otherwise[i];
    checkData(facts, a);
    if (yes.outputs[i]?.name === no.outputs[i]?.name) {
      report(
        `Both branches call an output "${yes.outputs[i]?.name}", which ${parser} refuses.`,
        'Call them differently.',
      );
    }
    if (a?.type && b?.type && a.type !== b.type) {
      report(`Its branches give ${typeName(a.type)} and ${typeName(b.type)}.`, 'Cast one of them.', typeName(b.type));
    }
    if (a?.dims && b?.dims && a.dims.length !== b.dims.length) {
      report(
        `Its branches give "${a.name}" with ${a.dims.length} axes and "${b.name}" with ${b.dims.length}, and ${parser} wants as many in both.`,
        'Reshape one of them.',
      );
    }
    const dims = a?.dims?.map((size, axis) => (size === b?.dims?.[axis] ? size : undefined));
    return { type: a?.type ?? b?.type, dims };
  });
}

/** A Loop: what it carries keeps type and sizes, and what it collects has a length that is known before. */
export function checkLoop(check: Check, facts: NodeFacts, region: Region): Made {
  const { node, inputs, parser, report } = facts;
  const body = attributeOf(node, 'body', 'graph');
  checkNode(facts, operators.get('Loop')!, []);
  if (!body || body.inputs.length !== inputs.length) {
    report('Its body is missing, or does not take what it is given.', 'Export the model again.');
    return [];
  }
  const [trips, condition, ...initial] = inputs;
  const number: Partial<ValueFacts> = { type: 'INT64', dims: [], constant: undefined };
  const going: Partial<ValueFacts> = { type: 'BOOL', dims: [], constant: undefined };
  const results = runBody(check, facts, region, body, [number, going, ...initial]);
  const carried = results.slice(1, 1 + initial.length);
  const collected = results.slice(1 + initial.length);

  const counted = trips !== undefined && !(trips.numbers && trips.numbers[0]! >= endless);
  if (!counted && reads(body, body.inputs[0]!.name)) {
    const why = trips ? `it runs up to ${trips.numbers?.[0]} times` : 'it has no trip count';
    report(`Its body reads the number of the iteration, and ${why}.`, 'Give it a trip count below 2147483647.');
  }
  initial.forEach((value, i) => {
    keeps(facts, value, carried[i]);
  });
  if (collected.length > 0) {
    if (!trips) {
      report(`It collects values and has no trip count, which ${parser} refuses.`, 'Give it a trip count.');
    } else if (!trips.constant) {
      report(
        `It collects values as often as "${trips.name}" says, which is known only when the graph runs.`,
        'Make the trip count a constant.',
      );
    }
    if ((condition && !condition.constant) || mayStop(body)) {
      report(
        `It collects values and may end early: ${parser} makes them as long as the trip count all the same.`,
        'Run it to the end, and choose among what it carries.',
      );
    }
  }
  for (const value of collected) checkData(facts, value);
  return [
    ...initial.map((value) => ({ type: value?.type, dims: value?.dims })),
    ...collected.map((value) => ({ type: value?.type, dims: value?.dims && [undefined, ...value.dims] })),
  ];
}

/** A Scan, which becomes a loop as long as its last scan input. */
export function checkScan(check: Check, facts: NodeFacts, region: Region): Made {
  const { node, inputs, parser, report } = facts;
  const body = attributeOf(node, 'body', 'graph');
  const scanned = attributeOf(node, 'num_scan_inputs', 'int') ?? 0;
  const states = inputs.length - scanned;
  if (!body || body.inputs.length !== inputs.length || scanned < 1) {
    report('Its body is missing, or does not take what it is given.', 'Export the model again.');
    return [];
  }
  if (states < 1) report(`It carries nothing from step to step, and ${parser} wants a state.`, 'Carry a number along.');
  const initial = inputs.slice(0, states);
  const slices = inputs.slice(states).map((value) => ({ ...value, constant: undefined, dims: value?.dims?.slice(1) }));
  const results = runBody(check, facts, region, body, [...initial, ...slices]);
  initial.forEach((value, i) => {
    keeps(facts, value, results[i]);
  });
  for (const value of [...inputs, ...results.slice(states)]) checkData(facts, value);
  return [
    ...initial.map((value) => ({ type: value?.type, dims: value?.dims })),
    ...results.slice(states).map((value) => ({ type: value?.type, dims: value?.dims && [undefined, ...value.dims] })),
  ];
}

/** What a body gives, of what it is given; what it is given is known only when the graph runs. */
function runBody(
  check: Check,
  { report }: NodeFacts,
  outer: Region,
  body: OnnxGraph,
  given: readonly (Partial<ValueFacts> | undefined)[],
): readonly (ValueFacts | undefined)[] {
  const known = new Map(
    body.inputs.map(({ name, elementType, dims }, i) => {
      const type = given[i]?.type ?? elementType;
      if (elementType !== undefined && type !== undefined && type !== elementType) {
        const [found, wanted] = [typeName(type), typeName(elementType)];
        report(`Its body takes "${name}" as ${wanted}, and is given ${found}.`, 'Cast it in front of the node.', found);
      }
      return [name, { name, type, dims: given[i]?.dims ?? dims, constant: undefined }] as const;
    }),
  );
  const region = { known, outer, depth: outer.depth + 1, path: outer.path };
  const { nodes, initializers, valueInfo, outputs } = body;
  checkRegion(check, { nodes, initializers, declared: [...valueInfo, ...outputs], inOrder: false }, region);
  return outputs.map(({ name }) => lookUp(region, name));
}

/** Reports what is carried in one type or with some sizes, and comes back with others. */
function keeps({ node, parser, report }: NodeFacts, before?: ValueFacts, after?: ValueFacts): void {
  if (!before || !after) return;
  if (before.type && after.type && before.type !== after.type) {
    const [a, b] = [typeName(before.type), typeName(after.type)];
    report(`It carries "${before.name}" as ${a} and gets it back as ${b}.`, 'Cast it in the body.', b);
  }
  const differs = (size: Size, axis: number): boolean => {
    const now = after.dims?.[axis];
    return typeof size === 'number' && typeof now === 'number' && size !== now;
  };
  if (before.dims && after.dims && (before.dims.length !== after.dims.length || before.dims.some(differs))) {
    report(
      `It carries "${before.name}" with sizes [${before.dims}] and gets [${after.dims}] back, and ${parser} wants them to stay (${node.opType}).`,
      'Carry something of the largest size, and write into it.',
    );
  }
}

/** Reports what goes through the node and is of a type that it does not take. */
function checkData({ node, version, parser, report }: NodeFacts, value: ValueFacts | undefined): void {
  const type = value?.type;
  if (!type) return;
  const types = typesIn(node.opType, operators.get(node.opType)!, version);
  const name = tensorrtTypeOf(type);
  if (name !== undefined && types.includes(name)) return;
  const shown = typeName(type);
  report(`"${value.name}" is ${shown}, and ${parser} reads ${node.opType} of ${listTypes(types)}.`, 'Cast it.', shown);
}

/** Whether a body, or a body in it, reads a value. */
function reads({ nodes, outputs }: OnnxGraph, name: string): boolean {
  const inBody = ({ attributes }: OnnxNode): boolean =>
    Object.values(attributes).some((attribute) => attribute.kind === 'graph' && reads(attribute.value, name));
  return (
    outputs.some((output) => output.name === name) || nodes.some((node) => node.inputs.includes(name) || inBody(node))
  );
}

/** Whether a Loop's body says when it ends: it neither passes its condition on nor gives a constant. */
function mayStop(body: OnnxGraph): boolean {
  let name = body.outputs[0]!.name;
  for (;;) {
    if (name === body.inputs[1]!.name || body.initializers.some((tensor) => tensor.name === name)) return false;
    const maker = body.nodes.find(({ outputs }) => outputs.includes(name));
    if (maker?.opType === 'Constant') return false;
    if (maker?.opType !== 'Identity') return true;
    name = maker.inputs[0]!;
  }
}

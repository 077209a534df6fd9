import type { OnnxNode, OnnxTensor, OnnxValueInfo } from '../../onnx/onnx-model.ts';
import { isRead, isUnread, operators } from '../operators.ts';
import { formatVersion } from '../versions.ts';
import { checkIf, checkLoop, checkScan } from './check-bodies.ts';
import { checkNode } from './check-node.ts';
import { typeName } from './element-types.ts';
import { type Check, reportAt } from './findings.ts';
import { inferDims } from './infer-dims.ts';
import { constantFacts, inferNumbers } from './infer-numbers.ts';
import { inferTypes } from './infer-types.ts';
import type { NodeFacts } from './node-facts.ts';
import { factsOfTensor, type Size, type ValueFacts } from './value-facts.ts';

/** Nodes that see each other's values: the main graph, a body, or a function as one call of it sees it. */
export interface Region {
  readonly known: Map<string, ValueFacts>;
  /** Where a body looks for what it does not have itself. */
  readonly outer: Region | undefined;
  /** How many bodies and functions it is in. */
  readonly depth: number;
  /** Calls of functions that it is in, `call/` each. */
  readonly path: string;
}

/** What a region is made of. */
export interface RegionSource {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  /** What the model says of values. */
  readonly declared: readonly OnnxValueInfo[];
  /** Whether nodes are read in the order in which they stand; graphs are sorted first. */
  readonly inOrder: boolean;
}

/** So many bodies and functions may be in each other. */
const deepest = 24;

/** So many axes a tensor may have. */
const mostAxes = 8;

/** What is known of a value, in a region or around it. */
export function lookUp(region: Region | undefined, name: string): ValueFacts | undefined {
  for (let at = region; at; at = at.outer) {
    const found = at.known.get(name);
    if (found) return found;
  }
  return undefined;
}

/** Checks every node of a region, and finds out what is known of the values in it. */
export function checkRegion(check: Check, source: RegionSource, region: Region): void {
  const declared = new Map(source.declared.map((info) => [info.name, info]));
  for (const tensor of source.initializers) region.known.set(tensor.name, factsOfTensor(tensor));
  let waiting = source.nodes;
  const isThere = ({ inputs, attributes }: OnnxNode): boolean =>
    inputs.every((name) => name === '' || lookUp(region, name)) &&
    [...outerNames(attributes)].every((name) => lookUp(region, name) || !madeHere.has(name));
  const madeHere = new Set(source.nodes.flatMap(({ outputs }) => outputs));
  while (waiting.length > 0) {
    const later: OnnxNode[] = [];
    let progress = false;
    for (const node of waiting) {
      if (isThere(node)) {
        visit(check, node, region, declared);
        progress = true;
      } else if (source.inOrder) {
        reportMissing(check, node, region, madeHere);
        visit(check, node, region, declared);
        progress = true;
      } else later.push(node);
    }
    waiting = later;
    if (progress) continue;
    for (const node of waiting) {
      reportMissing(check, node, region, madeHere);
      visit(check, node, region, declared);
    }
    return;
  }
}

/** Reports an axis too many, or a type that TensorRT has not. */
export function checkAxes(
  dims: readonly Size[] | undefined,
  report: (message: string, hint: string) => void,
  name: string,
) {
  if (dims && dims.length > mostAxes) {
    report(`"${name}" has ${dims.length} axes, and a tensor of TensorRT has at most ${mostAxes}.`, 'Join some axes.');
  }
}

function visit(check: Check, node: OnnxNode, region: Region, declared: ReadonlyMap<string, OnnxValueInfo>): void {
  const { version, parser } = check;
  const report = reportAt(check, node, region.path);
  const inputs = node.inputs.map((name) => (name === '' ? undefined : lookUp(region, name)));
  const facts: NodeFacts = { node, version, parser, opset: check.opset, inputs, input: (i) => inputs[i], report };
  const made = region.depth > deepest ? tooDeep(facts) : makes(check, facts, region);
  node.outputs.forEach((name, i) => {
    if (name === '') return;
    if (region.known.has(name)) report(`It makes "${name}", which is there already.`, 'Give every value its own name.');
    const said = declared.get(name);
    const type = made[i]?.type ?? said?.elementType;
    if (said?.elementType !== undefined && type !== said.elementType) {
      const [found, wanted] = [typeName(type!), typeName(said.elementType)];
      report(
        `It makes ${found} of "${name}", which the model declares as ${wanted}.`,
        'Export the model again.',
        found,
      );
    }
    if (type === undefined && made.length > 0) {
      report(`The type of "${name}", which it makes, cannot be found.`, 'Run shape inference on the model.');
    }
    const dims = closest(made[i]?.dims, said?.dims);
    checkAxes(dims, report, name);
    region.known.set(name, { constant: undefined, ...made[i], name, type, dims });
  });
}

/** What a node makes; nothing where that is asked of no one, since the node itself is at fault. */
function makes(check: Check, facts: NodeFacts, region: Region): readonly (Partial<ValueFacts> | undefined)[] {
  const { node, version, parser, report, inputs } = facts;
  if ('plugin_namespace' in node.attributes) {
    report(`It is a plugin, of which nobody knows here what ${parser} has.`, 'Use operators of ONNX.');
    return [];
  }
  const operator = operators.get(node.opType);
  if (operator && isRead(operator, version)) {
    if (isForeign(node)) {
      report(
        `It is of ${node.domain}, and ${parser} does not look at domains: it reads the ${node.opType} of ai.onnx, which means something else.`,
        'Write it in operators of ai.onnx.',
      );
      return [];
    }
    if (node.opType === 'If') return checkIf(check, facts, region);
    if (node.opType === 'Loop') return checkLoop(check, facts, region);
    if (node.opType === 'Scan') return checkScan(check, facts, region);
    const types = inferTypes(node, inputs);
    checkNode(facts, operator, types);
    return ofOperator(facts, types);
  }
  const local = check.functions.get(node.opType);
  if (local) return call(check, facts, region);
  if (operator?.since && !isForeign(node)) {
    const since = formatVersion(operator.since);
    report(
      `${parser} has no ${node.opType}: its parser reads it from ${since} on.`,
      node.opType === 'Attention'
        ? `Write it in parts (--attention parts), or for ${since} (--tensorrt-version ${since}).`
        : `Write it in parts, or for ${since} (--tensorrt-version ${since}).`,
    );
  } else {
    const of = node.domain === '' || node.domain === 'ai.onnx' ? '' : ` of ${node.domain}`;
    const never = isUnread(node.opType) ? 'none of its versions reads it' : 'it looks for a plugin of that name';
    report(`${parser} has no ${node.opType}${of}: ${never}.`, 'Write it in operators that it has.');
  }
  return [];
}

/** Operators of other domains that mean what the operator of ai.onnx means. */
const sameElsewhere = new Set(['Gelu', 'QuantizeLinear', 'DequantizeLinear']);

function isForeign({ domain, opType }: OnnxNode): boolean {
  const own = opType.startsWith('TRT_') || opType === 'DistCollective';
  return domain !== '' && domain !== 'ai.onnx' && !own && !(domain === 'com.microsoft' && sameElsewhere.has(opType));
}

function ofOperator({ node, inputs }: NodeFacts, types: ReturnType<typeof inferTypes>): readonly Partial<ValueFacts>[] {
  if (node.opType === 'Constant') {
    const held = constantFacts(node, '');
    if (held) return [held];
  }
  const dims = inferDims(node, inputs);
  const numbers = inferNumbers(node, inputs);
  const present = inputs.filter((input) => input !== undefined);
  const fixed = present.length > 0 && present.every((input) => input.constant) && !node.opType.startsWith('Random');
  const constant = fixed || numbers ? ('computed' as const) : undefined;
  return node.outputs.map((_, i) => ({ type: types[i], dims: dims[i], constant, ...(numbers && { numbers }) }));
}

/** The body of a function with what it is called with. */
function call(check: Check, facts: NodeFacts, region: Region): readonly (ValueFacts | undefined)[] {
  const { node, inputs, report } = facts;
  const { inputs: names, outputs, nodes } = check.functions.get(node.opType)!;
  if (node.inputs.length !== names.length || inputs.includes(undefined)) {
    report(
      `It calls a function of ${names.length} inputs with ${node.inputs.filter((name) => name !== '').length}, and TensorRT wants every one of them.`,
      'Give the function all its inputs.',
    );
  }
  const known = new Map(names.flatMap((name, i) => (inputs[i] ? [[name, { ...inputs[i], name }] as const] : [])));
  const inner = {
    known,
    outer: undefined,
    depth: region.depth + 1,
    path: `${region.path}${node.name || node.opType}/`,
  };
  checkRegion(check, { nodes, initializers: [], declared: [], inOrder: true }, inner);
  return outputs.map((name) => known.get(name));
}

function tooDeep({ parser, report }: NodeFacts): readonly [] {
  report(`It is in more than ${deepest} bodies and functions, one in the other, where ${parser} stops.`, 'Nest less.');
  return [];
}

function reportMissing(check: Check, node: OnnxNode, region: Region, madeHere: ReadonlySet<string>): void {
  const report = reportAt(check, node, region.path);
  for (const name of node.inputs) {
    if (name === '' || lookUp(region, name)) continue;
    if (madeHere.has(name)) {
      report(
        `It reads "${name}" before it is made.`,
        'Sort the nodes: a function is read in the order in which it stands.',
      );
    } else report(`It reads "${name}", which nothing makes.`, 'Export the model again.');
  }
}

/** Names that bodies read from around them. */
function* outerNames(attributes: OnnxNode['attributes']): Generator<string> {
  for (const attribute of Object.values(attributes)) {
    if (attribute.kind !== 'graph') continue;
    const { nodes, inputs, initializers, outputs } = attribute.value;
    const own = new Set([...inputs, ...initializers].map(({ name }) => name));
    for (const node of nodes) for (const name of node.outputs) own.add(name);
    const read = nodes.flatMap((node) => [...node.inputs, ...outerNames(node.attributes)]);
    for (const name of [...read, ...outputs.map((output) => output.name)])
      if (name !== '' && !own.has(name)) yield name;
  }
}

/** What is known of sizes from two sides: numbers count more than names. */
function closest(inferred: ValueFacts['dims'], declared: ValueFacts['dims']): ValueFacts['dims'] {
  if (!inferred || !declared || inferred.length !== declared.length) return declared ?? inferred;
  return declared.map((size, axis) =>
    typeof size === 'number' ? size : typeof inferred[axis] === 'number' ? inferred[axis] : (size ?? inferred[axis]),
  );
}

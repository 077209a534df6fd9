import { inferTypes, loopTypes } from './builder.ts';
import { type Dim, parseDim } from './dims.ts';
import { isDType } from './dtype.ts';
import type { Graph, Op, Region, Value } from './graph.ts';
import { type AttrKind, type AttrValue, isOpKind, type OpSpec, opTable } from './op-table.ts';
import { formatType, sameType, type TensorType } from './tensor-type.ts';
import { isBareValueName } from './text/tokens.ts';
import { verifyWeight } from './verify-weight.ts';

/**
 * Every problem of a graph, as sentences; none when it is valid. Valid means: each value is made once, before it is
 * used, under a name of its own; attributes are those of the op table; types are what operands and attributes make
 * them; weights are what their expressions give; outputs exist and have names of their own.
 */
export function verifyGraph(graph: Graph): readonly string[] {
  const problems: string[] = [];
  const report = (message: string): void => {
    problems.push(message);
  };
  const names = new Map<string, Value>();
  const made = new Set<Value>();

  const make = (value: Value, visible: Set<Value>): void => {
    if (made.has(value)) report(`${show(value)} is made twice`);
    const namesake = names.get(value.name);
    if (namesake && namesake !== value) report(`two values are called ${show(value)}`);
    names.set(value.name, value);
    made.add(value);
    visible.add(value);
    for (const problem of typeProblems(value.type)) report(`${show(value)} has ${problem}`);
  };
  const use = (value: Value, by: string, visible: ReadonlySet<Value>): void => {
    if (visible.has(value)) return;
    const why = made.has(value)
      ? 'which is made inside a loop'
      : names.has(value.name)
        ? 'which is not the value of that name'
        : 'which is not made before';
    report(`${by} uses ${show(value)}, ${why}`);
  };

  const visitOps = (ops: readonly Op[], visible: Set<Value>): void => {
    for (const op of ops) {
      const where = describeOp(op);
      for (const operand of op.operands) use(operand, where, visible);
      for (const problem of attrProblems(op)) report(`${where} ${problem}`);
      if (op.kind === 'loop') visitBody(op.body, where, new Set(visible));
      checkResults(op, where);
      for (const result of op.results) make(result, visible);
    }
  };
  const visitBody = (body: Region, where: string, visible: Set<Value>): void => {
    for (const parameter of body.parameters) make(parameter, visible);
    visitOps(body.ops, visible);
    for (const result of body.results) use(result, `the body of ${where}`, visible);
  };
  const checkResults = (op: Op, where: string): void => {
    const types = typesOf(op);
    if (typeof types === 'string') report(`${where} ${types}`);
    else if (types && types.length !== op.results.length) {
      report(`${where} has ${op.results.length} results, not ${types.length}`);
    } else if (types) {
      for (const [i, expected] of types.entries()) {
        const result = op.results[i]!;
        if (sameType(result.type, expected)) continue;
        report(`${where} makes ${formatType(expected)}, but ${show(result)} is ${formatType(result.type)}`);
      }
    }
  };

  const visible = new Set<Value>();
  for (const input of graph.inputs) make(input, visible);
  for (const { value, expr } of graph.weights) {
    make(value, visible);
    for (const problem of verifyWeight(value.type, expr)) report(`the weight ${show(value)} ${problem}`);
  }
  visitOps(graph.ops, visible);
  const outputNames = new Set<string>();
  for (const { name, value } of graph.outputs) {
    if (outputNames.has(name)) report(`two outputs are called "${name}"`);
    outputNames.add(name);
    use(value, `the output "${name}"`, visible);
  }
  return problems;
}

/** The types that an operation's results have to have; a sentence; or undefined when its attributes are too wrong to tell. */
function typesOf(op: Op): readonly TensorType[] | string | undefined {
  if (!isOpKind(op.kind) || attrProblems(op).length > 0) return undefined;
  if (op.kind === 'loop') return loopTypes(op.operands, op.attrs, op.body);
  return inferTypes(op.kind, op.operands, op.attrs);
}

function attrProblems(op: Op): string[] {
  if (!isOpKind(op.kind)) return ['is no operation'];
  const spec: OpSpec = opTable[op.kind];
  const attrs = op.attrs as Readonly<Record<string, AttrValue | undefined>>;
  const problems: string[] = [];
  for (const [name, kind] of Object.entries(spec.attrs)) {
    const value = attrs[name];
    if (value === undefined) problems.push(`has no attribute ${name}`);
    else if (!fitsKind(value, kind))
      problems.push(`has ${name}=${JSON.stringify(value)}, which is not ${article(kind)}`);
  }
  for (const name of Object.keys(attrs)) {
    if (!Object.hasOwn(spec.attrs, name)) problems.push(`has an attribute ${name} that ${op.kind} does not know`);
  }
  if ((op.body !== undefined) !== (spec.body ?? false)) problems.push(`has ${spec.body ? 'no' : 'a'} body`);
  return problems;
}

function fitsKind(value: AttrValue, kind: AttrKind): boolean {
  if (typeof kind !== 'string') return typeof value === 'string' && kind.includes(value);
  switch (kind) {
    case 'int':
      return Number.isSafeInteger(value);
    case 'float':
      return typeof value === 'number';
    case 'bool':
      return typeof value === 'boolean';
    case 'ints':
      return Array.isArray(value) && value.every(Number.isSafeInteger);
    case 'numbers':
      return Array.isArray(value) && value.every((v) => typeof v === 'number');
    case 'dim':
      return typeof value !== 'boolean' && typeof value !== 'object' && isCanonical(value);
    case 'dims':
      return Array.isArray(value) && value.every(isCanonical);
    case 'dtype':
      return typeof value === 'string' && isDType(value);
  }
}

function article(kind: AttrKind): string {
  if (typeof kind !== 'string') return `one of ${kind.join(', ')}`;
  const words = {
    int: 'an integer',
    float: 'a number',
    bool: 'true or false',
    ints: 'a list of integers',
    numbers: 'a list of numbers',
    dim: 'a dim',
    dims: 'a list of dims',
    dtype: 'an element type',
  } as const satisfies Record<Extract<AttrKind, string>, string>;
  return words[kind];
}

/** Equal sizes are equal texts only as long as everyone writes them the same way. */
function isCanonical(dim: Dim): boolean {
  return typeof dim === 'number' ? Number.isSafeInteger(dim) : parseDim(dim) === dim;
}

function typeProblems({ dtype, dims }: TensorType): string[] {
  const problems = isDType(dtype) ? [] : [`an element type ${dtype}`];
  for (const dim of dims) {
    if (!isCanonical(dim)) problems.push(`a dim "${dim}", which is not in canonical form`);
    else if (typeof dim === 'number' && dim < 0) problems.push(`a dim ${dim}`);
  }
  return problems;
}

function describeOp(op: Op): string {
  const results = op.results.map(show).join(', ');
  return `${op.kind}${results === '' ? '' : ` ${results}`}${op.scope === '' ? '' : ` in "${op.scope}"`}`;
}

function show({ name }: Value): string {
  return `%${isBareValueName(name) ? name : JSON.stringify(name)}`;
}

import type { Dim } from './dims.ts';
import type { DType } from './dtype.ts';
import type { AttrsOf, Graph, Op, OpOf, Output, Region, Stage, Value, Weight } from './graph.ts';
import { invariant } from './invariant.ts';
import { type AttrValue, type OpKind, type OpSpec, opTable } from './op-table.ts';
import { formatType, sameType, type TensorType, tensor } from './tensor-type.ts';
import { type WeightExpr, weightKey, weightType } from './weights.ts';

type OperandName<K extends OpKind> = (typeof opTable)[K]['operands'];

/** The operands of one kind as a tuple: `name?` may be missing, `name...` is any number. */
type Operands<Names extends readonly string[]> = Names extends readonly [
  infer First,
  ...infer Rest extends readonly string[],
]
  ? First extends `${string}...`
    ? readonly Value[]
    : First extends `${string}?`
      ? readonly [(Value | undefined)?, ...Operands<Rest>]
      : readonly [Value, ...Operands<Rest>]
  : readonly [];

export type OperandsOf<K extends OpKind> = Operands<OperandName<K>>;

type PlainKind = Exclude<OpKind, 'loop'>;

export interface LoopAttrs {
  readonly loops: number;
  readonly carried: readonly Value[];
  /** Stacked on a leading axis of size `loops`. */
  readonly each?: readonly Value[];
  /** i64 []: how many depths to run. */
  readonly limit?: Value;
}

export interface LoopBody {
  /** bool []: true when this depth was the last. */
  readonly stop?: Value;
  readonly carried: readonly Value[];
  readonly collected?: readonly Value[];
}

export interface LoopResults {
  readonly carried: readonly Value[];
  readonly collected: readonly Value[];
}

/** Makes a graph operation by operation; types are inferred and checked at once. */
export interface GraphBuilder {
  readonly input: (name: string, type: TensorType) => Value;
  /** The same expression twice gives the same value: a shared weight is one weight. */
  readonly weight: (name: string, expr: WeightExpr) => Value;
  /** Adds an operation with one result. `name` is a wish; a number is added when it is taken. */
  readonly add: <K extends PlainKind>(kind: K, operands: OperandsOf<K>, attrs: AttrsOf<K>, name?: string) => Value;
  /** Adds an operation and returns all its results. */
  readonly addAll: <K extends PlainKind>(
    kind: K,
    operands: OperandsOf<K>,
    attrs: AttrsOf<K>,
    name?: string,
  ) => readonly Value[];
  /** A constant from numbers; a scalar without dims. */
  readonly constant: (dtype: DType, values: readonly number[] | number, dims?: readonly number[]) => Value;
  readonly loop: (
    attrs: LoopAttrs,
    body: (depth: Value, carried: readonly Value[], each: readonly Value[]) => LoopBody,
    name?: string,
  ) => LoopResults;
  /** Adds an operation as it is, results and all: for passes that copy. Its names must be free. */
  readonly adopt: (op: Op) => void;
  /** Everything added inside `build` belongs to `scope`, below the scope around it. */
  readonly scoped: <T>(scope: string, build: () => T) => T;
  /** As {@link scoped}, but `scope` replaces the scope around it. */
  readonly inScope: <T>(scope: string, build: () => T) => T;
  readonly output: (name: string, value: Value) => void;
  /** A name that nothing has yet, close to `wish`, which is then taken. */
  readonly freshName: (wish: string) => string;
  /** Adds `build`'s operations to a list of their own: the body of a loop. */
  readonly region: (parameters: readonly Value[], build: () => readonly Value[]) => Region;
  readonly finish: <S extends Stage>(stage: S) => Graph<S>;
}

export function graphBuilder(name: string): GraphBuilder {
  const inputs: Value[] = [];
  const weights: Weight[] = [];
  const outputs: Output[] = [];
  const byExpression = new Map<string, Value>();
  const names = new Map<string, number>();
  const graphOps: Op[] = [];
  let ops = graphOps;
  let scope = '';

  const freshName = (wish: string): string => {
    let count = names.get(wish);
    if (count === undefined) {
      names.set(wish, 1);
      return wish;
    }
    while (names.has(`${wish}.${count}`)) count++;
    names.set(wish, count + 1);
    names.set(`${wish}.${count}`, 1);
    return `${wish}.${count}`;
  };

  const within = <T>(inner: string, build: () => T): T => {
    const outer = scope;
    scope = inner;
    try {
      return build();
    } finally {
      scope = outer;
    }
  };

  const addAll: GraphBuilder['addAll'] = (kind, operands, attrs, wish) => {
    const given = (operands as readonly (Value | undefined)[]).filter((v) => v !== undefined);
    const types = inferTypes(kind, given, attrs);
    invariant(typeof types !== 'string', `${kind} in "${scope}" ${types}`);
    const results = types.map((type) => ({ name: freshName(wish ?? kind), type }));
    ops.push({ kind, operands: given, attrs, results, scope, body: undefined } as unknown as Op);
    return results;
  };

  const region: GraphBuilder['region'] = (parameters, build) => {
    const outer = ops;
    const inner: Op[] = [];
    ops = inner;
    try {
      return { parameters, results: build(), ops: inner };
    } finally {
      ops = outer;
    }
  };

  const builder: GraphBuilder = {
    input(inputName, type) {
      const value = { name: freshName(inputName), type };
      invariant(value.name === inputName, `two inputs are called "${inputName}"`);
      inputs.push(value);
      return value;
    },
    weight(wish, expr) {
      const key = weightKey(expr);
      const known = byExpression.get(key);
      if (known) return known;
      const value = { name: freshName(wish), type: weightType(expr) };
      byExpression.set(key, value);
      weights.push({ value, expr });
      return value;
    },
    add: (kind, operands, attrs, wish) => addAll(kind, operands, attrs, wish)[0]!,
    addAll,
    constant(dtype, values, dims) {
      const list = typeof values === 'number' ? [values] : values;
      return builder.add('constant', [], {
        dtype,
        dims: dims ?? (typeof values === 'number' ? [] : [list.length]),
        values: list,
      });
    },
    loop({ loops, carried, each = [], limit }, body, wish = 'loop') {
      const parameters = [
        { name: freshName('depth'), type: tensor('i64', []) },
        ...carried.map((v) => ({ name: freshName(v.name), type: v.type })),
        ...each.map((v) => ({ name: freshName(v.name), type: tensor(v.type.dtype, v.type.dims.slice(1)) })),
      ];
      let stops = false;
      const made = region(parameters, () => {
        const [depth, ...rest] = parameters;
        const result = body(depth!, rest.slice(0, carried.length), rest.slice(carried.length));
        stops = result.stop !== undefined;
        return [...(result.stop ? [result.stop] : []), ...result.carried, ...(result.collected ?? [])];
      });
      const attrs = { loops, carried: carried.length, each: each.length, limited: limit !== undefined, stops };
      const operands = [...carried, ...each, ...(limit ? [limit] : [])];
      const types = loopTypes(operands, attrs, made);
      invariant(typeof types !== 'string', `loop in "${scope}" ${types}`);
      const results = types.map((type, i) => ({ name: freshName(i < carried.length ? carried[i]!.name : wish), type }));
      ops.push({ kind: 'loop', operands, attrs, results, scope, body: made });
      return { carried: results.slice(0, carried.length), collected: results.slice(carried.length) };
    },
    adopt(op) {
      ops.push(op);
    },
    scoped: (inner, build) => within(scope === '' ? inner : `${scope}/${inner}`, build),
    inScope: within,
    output(outputName, value) {
      invariant(!outputs.some((o) => o.name === outputName), `two outputs are called "${outputName}"`);
      outputs.push({ name: outputName, value });
    },
    freshName,
    region,
    finish: (stage) => ({ name, stage, inputs, weights, ops: graphOps, outputs }),
  };
  return builder;
}

/** Result types of an operation without a body, or a sentence on what does not fit. */
export function inferTypes<K extends PlainKind>(
  kind: K,
  operands: readonly Value[],
  attrs: AttrsOf<K>,
): readonly TensorType[] | string {
  const spec: OpSpec = opTable[kind];
  const variadic = spec.operands.at(-1)?.endsWith('...');
  const required = spec.operands.filter((o) => !o.endsWith('?') && !o.endsWith('...')).length;
  if (operands.length < required || (!variadic && operands.length > spec.operands.length)) {
    return `has ${operands.length} operands, not ${spec.operands.join(', ')}`;
  }
  return spec.infer(
    operands.map((v) => v.type),
    attrs as Readonly<Record<string, AttrValue>>,
  );
}

/** Result types of a loop, or a sentence on what does not fit between its operands and its body. */
export function loopTypes(
  operands: readonly Value[],
  attrs: OpOf<'loop'>['attrs'],
  body: Region,
): readonly TensorType[] | string {
  const { loops, carried, each, limited, stops } = attrs;
  if (operands.length !== carried + each + (limited ? 1 : 0)) return `has ${operands.length} operands`;
  if (body.parameters.length !== 1 + carried + each) return `has a body of ${body.parameters.length} parameters`;
  const scalar = tensor('i64', []);
  if (!sameType(body.parameters[0]!.type, scalar)) return 'has a depth that is no i64 []';
  for (let i = 0; i < carried + each; i++) {
    const given = operands[i]!.type;
    if (i >= carried && given.dims[0] !== loops) return `is given ${formatType(given)} for ${loops} depths`;
    const expected = i < carried ? given : tensor(given.dtype, given.dims.slice(1));
    const found = body.parameters[1 + i]!.type;
    if (!sameType(expected, found)) return `gives ${formatType(expected)} to a parameter ${formatType(found)}`;
  }
  if (limited && !sameType(operands.at(-1)!.type, scalar)) return 'is limited by something that is no i64 []';
  const first = stops ? 1 : 0;
  if (stops && !(body.results[0] && sameType(body.results[0].type, tensor('bool', []))))
    return 'stops by something that is no bool []';
  for (let i = 0; i < carried; i++) {
    const found = body.results[first + i]?.type;
    if (!found || !sameType(found, operands[i]!.type)) {
      return `carries ${formatType(operands[i]!.type)} but its body returns ${found ? formatType(found) : 'nothing'}`;
    }
  }
  const collected = body.results
    .slice(first + carried)
    .map((v) => tensor(v.type.dtype, [loops as Dim, ...v.type.dims]));
  return [...operands.slice(0, carried).map((v) => v.type), ...collected];
}

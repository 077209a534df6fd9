import type { Dim } from '../../ir/dims.ts';
import type { DType } from '../../ir/dtype.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';
import { encodeTensor } from '../../ir/tensor-bytes.ts';
import { addSize } from './add-size.ts';
import { onnxTypes } from './element-types.ts';
import {
  elementTypes,
  type OnnxAttribute,
  type OnnxNode,
  type OnnxTensor,
  type OnnxTensorData,
  type OnnxValueInfo,
} from './onnx-model.ts';

/** What a node has besides its operator and its inputs. */
export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  /** Empty: ai.onnx. */
  readonly domain?: string;
}

/** Nodes of a graph or of a loop's body, with what is known of the values in it. */
export interface NodeList {
  readonly nodes: OnnxNode[];
  readonly valueInfo: OnnxValueInfo[];
}

/**
 * Writes the nodes of one model: finds names, shares constants and sizes, and keeps apart what belongs into the main
 * graph (where every body sees it) and what into the body at hand.
 */
export interface OnnxWriter {
  /** A name that no value has, close to `wish`. */
  readonly freshName: (wish: string) => string;
  /** Everything added inside `build` is called after `scope`. */
  readonly inScope: <T>(scope: string, build: () => T) => T;
  /** The name of a value that is already there. */
  readonly nameOf: (value: Value) => string;
  /** Says under which name `value` is known. */
  readonly bind: (value: Value, name: string) => void;
  /** Adds a node whose outputs are `results`, new values of the IR; an undefined one is not wanted. */
  readonly define: (
    opType: string,
    inputs: readonly string[],
    results: readonly (Value | undefined)[],
    options?: NodeOptions,
  ) => void;
  /** As {@link define}, followed by `more` outputs that the IR does not know; returns their names. */
  readonly defineSome: (
    opType: string,
    inputs: readonly string[],
    results: readonly (Value | undefined)[],
    more: number,
    options?: NodeOptions,
  ) => readonly string[];
  /** Adds a node with one output that the IR does not know, and returns its name. */
  readonly add: (opType: string, inputs: readonly string[], options?: NodeOptions) => string;
  /** As {@link add}, under the name of an output of the graph. */
  readonly addNamed: (opType: string, inputs: readonly string[], name: string) => void;
  /** Adds what `build` adds to the front of the main graph, where it may only use inputs and initializers. */
  readonly inFront: <T>(scope: string, build: () => T) => T;
  /** Collects what `build` adds instead of adding it: a loop's body. */
  readonly collect: (build: () => void) => NodeList;
  readonly initializer: (tensor: OnnxTensor) => void;
  /** A small constant tensor, the same one for the same numbers. */
  readonly constant: (dtype: DType, dims: readonly number[], values: readonly number[]) => string;
  /** i64 [1]: what a dim is when the graph runs. Sizes are computed once, in the main graph. */
  readonly size: (dim: Dim) => string;
  /** i64 []: the same as a scalar. */
  readonly scalarSize: (dim: Dim) => string;
  /** i64 [N]: several dims. */
  readonly sizes: (dims: readonly Dim[]) => string;
  readonly finish: () => NodeList & { readonly initializers: readonly OnnxTensor[] };
}

/** For the interface of `graph`: its inputs' axes tell the sizes of named dims, its outputs have names of their own. */
export function onnxWriter(graph: Pick<Graph, 'inputs' | 'ops' | 'outputs'>): OnnxWriter {
  const { inputs } = graph;
  const outputs = outputNames(graph);
  const names = new Map<string, number>();
  const nodeNames = new Map<string, number>();
  const bound = new Map<Value, string>();
  const front: NodeList = { nodes: [], valueInfo: [] };
  const main: NodeList = { nodes: [], valueInfo: [] };
  const initializers: OnnxTensor[] = [];
  const shared = new Map<string, string>();
  let list = main;
  let scope = '';

  const within = <T>(inner: NodeList, innerScope: string, build: () => T): T => {
    const outer = [list, scope] as const;
    [list, scope] = [inner, innerScope];
    try {
      return build();
    } finally {
      [list, scope] = outer;
    }
  };
  const freshName = (wish: string): string => unique(wish, names);
  const path = (last: string): string => `${scope === '' ? '' : `/${pathOf(scope)}`}/${last}`;

  const push = (opType: string, inputNames: readonly string[], outputs: readonly string[], options: NodeOptions) => {
    list.nodes.push({
      name: unique(path(opType), nodeNames),
      opType,
      domain: options.domain ?? '',
      inputs: inputNames,
      outputs,
      attributes: options.attributes ?? {},
    });
  };

  /** Makes something once for the whole model and remembers its name. */
  const once = (key: string, make: () => string): string => {
    const known = shared.get(key);
    if (known !== undefined) return known;
    const name = make();
    shared.set(key, name);
    return name;
  };

  const writer: OnnxWriter = {
    freshName,
    inScope: (inner, build) => within(list, inner, build),
    nameOf(value) {
      const name = bound.get(value);
      invariant(name !== undefined, `the value "${value.name}" is used before it is there`);
      return name;
    },
    bind(value, name) {
      bound.set(value, name);
    },
    define(opType, inputNames, results, options) {
      writer.defineSome(opType, inputNames, results, 0, options);
    },
    defineSome(opType, inputNames, results, more, options = {}) {
      const made = results.map((result) => {
        if (!result) return '';
        const promised = outputs.get(result);
        const name = promised ?? freshName(path(stem(result.name)));
        bound.set(result, name);
        if (promised === undefined) list.valueInfo.push(valueInfo(name, result));
        return name;
      });
      const others = Array.from({ length: more }, () => freshName(path(`${opType}.out`)));
      push(opType, inputNames, [...made, ...others], options);
      return others;
    },
    add(opType, inputNames, options = {}) {
      const name = freshName(path(`${opType}.out`));
      push(opType, inputNames, [name], options);
      return name;
    },
    addNamed(opType, inputNames, name) {
      push(opType, inputNames, [name], {});
    },
    inFront: (inner, build) => within(front, inner, build),
    collect(build) {
      const inner: NodeList = { nodes: [], valueInfo: [] };
      within(inner, scope, build);
      return inner;
    },
    initializer(tensor) {
      initializers.push(tensor);
    },
    constant(dtype, dims, values) {
      // -0 is another number than 0, though they print alike.
      const text = values.map((v) => (Object.is(v, -0) ? '-0' : `${v}`)).join(',');
      return once(`${dtype}[${dims}]{${text}}`, () => {
        const shown = text.length <= 40 ? text : `${text.slice(0, 40)}…`;
        const name = freshName(`/constant/${dtype}[${dims}]{${shown}}`);
        initializers.push(inlineTensor(name, dtype, dims, values));
        return name;
      });
    },
    size(dim) {
      if (typeof dim === 'number') return writer.constant('i64', [1], [dim]);
      return once(`size ${dim}`, () => writer.inFront('size', () => addSize(writer, inputs, dim)));
    },
    scalarSize(dim) {
      if (typeof dim === 'number') return writer.constant('i64', [], [dim]);
      return once(`scalar ${dim}`, () =>
        writer.inFront('size', () => writer.add('Squeeze', [writer.size(dim), writer.constant('i64', [1], [0])])),
      );
    },
    sizes(dims) {
      if (dims.every((dim) => typeof dim === 'number')) return writer.constant('i64', [dims.length], dims);
      if (dims.length === 1) return writer.size(dims[0]!);
      return once(`sizes ${dims.join(' ')}`, () =>
        writer.inFront('size', () => writer.add('Concat', dims.map(writer.size), { attributes: { axis: int(0) } })),
      );
    },
    finish: () => ({
      nodes: [...front.nodes, ...main.nodes],
      valueInfo: [...front.valueInfo, ...main.valueInfo],
      initializers,
    }),
  };
  for (const input of inputs) {
    names.set(input.name, 1);
    bound.set(input, input.name);
  }
  for (const { name } of graph.outputs) names.set(name, 1);
  return writer;
}

export function addCast(writer: OnnxWriter, name: string, to: DType): string {
  return writer.add('Cast', [name], castTo(to));
}

export function castTo(dtype: DType): NodeOptions {
  return { attributes: { to: int(elementTypes[onnxTypes[dtype]]) } };
}

export function int(value: number): OnnxAttribute {
  return { kind: 'int', value };
}

export function ints(value: readonly number[]): OnnxAttribute {
  return { kind: 'ints', value };
}

export function float(value: number): OnnxAttribute {
  return { kind: 'float', value };
}

export function string(value: string): OnnxAttribute {
  return { kind: 'string', value };
}

/** Values that can be computed under the name of an output right away. */
function outputNames({ ops, outputs }: Pick<Graph, 'ops' | 'outputs'>): ReadonlyMap<Value, string> {
  const made = new Set(ops.flatMap((op) => op.results));
  const names = new Map<Value, string>();
  for (const { name, value } of outputs) if (made.has(value) && !names.has(value)) names.set(value, name);
  return names;
}

export function valueInfo(name: string, { type }: Value): OnnxValueInfo {
  return { name, elementType: onnxTypes[type.dtype], dims: type.dims };
}

export function inlineTensor(
  name: string,
  dtype: DType,
  dims: readonly number[],
  values: readonly number[],
): OnnxTensor {
  const data: OnnxTensorData = { kind: 'inline', bytes: encodeTensor(dtype, values) };
  return { name, elementType: onnxTypes[dtype], dims, data };
}

/** `self_attn.q_proj` becomes two steps of a path, so that viewers show modules as folders; `layer.1` stays one. */
function pathOf(scope: string): string {
  return scope.replaceAll(/\.(?!\d)/g, '/');
}

/** Names in the IR are unique by a number at their end, which a path does not need. */
function stem(name: string): string {
  return name.replace(/(\.\d+)+$/, '');
}

/** `wish`, or `wish` with the first number behind it that makes a new name; `taken` holds the next number to try. */
function unique(wish: string, taken: Map<string, number>): string {
  let count = taken.get(wish);
  if (count === undefined) {
    taken.set(wish, 1);
    return wish;
  }
  while (taken.has(`${wish}_${count}`)) count++;
  taken.set(wish, count + 1);
  taken.set(`${wish}_${count}`, 1);
  return `${wish}_${count}`;
}

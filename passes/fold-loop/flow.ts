import type { Graph, Op, Region, Value } from '../../ir/graph.ts';
import type { AttrValue } from '../../ir/op-table.ts';
import { type WeightExpr, weightKey } from '../../ir/weights.ts';
import { sharedScope } from '../cse.ts';

/** Numbers stand for values and operations here: equal computations have one number, however often they are written. */
export interface Flow {
  readonly graph: Graph;
  /** Every operation once, in an order in which they can run. */
  readonly ops: readonly FlowOp[];
  /** By value number: the first value of the graph that stands for it. */
  readonly values: readonly Value[];
  /** By value number: the operation that makes it; -1 for inputs and weights. */
  readonly maker: readonly number[];
  /** By value number, in order of the operations. */
  readonly users: readonly (readonly Use[])[];
  /** By value number: true when it is made of weights and constants alone. */
  readonly fixed: readonly boolean[];
  /** By value number: true when it is fixed and a weight is part of it. */
  readonly weighted: readonly boolean[];
  /** The weights by value number. */
  readonly weights: ReadonlyMap<number, WeightExpr>;
  /** The number of any value of the graph outside loop bodies. */
  readonly numberOf: ReadonlyMap<Value, number>;
  /** Numbers of the graph's outputs, in order. */
  readonly outputs: readonly number[];
}

export interface FlowOp {
  readonly op: Op;
  /** Equal for operations of one kind with equal attributes. A loop is like no other. */
  readonly shape: number;
  readonly operands: readonly number[];
  /** What it needs: the operands, and what the body of a loop uses from around it. */
  readonly reads: readonly number[];
  readonly results: readonly number[];
  /** The part that the scopes of all equal operations share. */
  readonly scope: string;
}

export interface Use {
  readonly op: number;
  readonly operand: number;
}

/** Numbers what `graph` computes. Linear in its operations. */
export function flowOf(graph: Graph): Flow {
  const ops: FlowOp[] = [];
  const values: Value[] = [];
  const maker: number[] = [];
  const users: Use[][] = [];
  const fixed: boolean[] = [];
  const weighted: boolean[] = [];
  const weights = new Map<number, WeightExpr>();
  const numberOf = new Map<Value, number>();

  const number = (value: Value, madeBy: number, isFixed: boolean, isWeighted: boolean): number => {
    const id = values.length;
    numberOf.set(value, id);
    values.push(value);
    maker.push(madeBy);
    users.push([]);
    fixed.push(isFixed);
    weighted.push(isWeighted);
    return id;
  };

  for (const input of graph.inputs) number(input, -1, false, false);
  const byKey = new Map<string, number>();
  for (const { value, expr } of graph.weights) {
    const key = weightKey(expr);
    const known = byKey.get(key);
    if (known !== undefined) {
      numberOf.set(value, known);
      continue;
    }
    const id = number(value, -1, true, true);
    byKey.set(key, id);
    weights.set(id, expr);
  }

  const shapes = new Map<string, number>();
  const computed = new Map<string, number>();
  for (const op of graph.ops) {
    const operands = op.operands.map((value) => numberOf.get(value)!);
    const captured = op.kind === 'loop' ? [...capturedBy(op.body)].map((value) => numberOf.get(value)!) : [];
    const text = op.kind === 'loop' ? `loop ${ops.length}` : `${op.kind} ${attrsText(op.attrs)}`;
    const shape = shapes.get(text) ?? shapes.size;
    shapes.set(text, shape);
    const computation = `${shape}:${operands}`;
    const known = computed.get(computation);
    if (known !== undefined) {
      const first = ops[known]!;
      ops[known] = { ...first, scope: sharedScope(first.scope, op.scope) };
      op.results.forEach((value, i) => {
        numberOf.set(value, first.results[i]!);
      });
      continue;
    }
    const index = ops.length;
    computed.set(computation, index);
    const reads = [...operands, ...captured];
    const isFixed = op.kind !== 'loop' && op.kind !== 'size' && op.kind !== 'iota' && reads.every((id) => fixed[id]);
    const isWeighted = isFixed && reads.some((id) => weighted[id]);
    const results = op.results.map((value) => number(value, index, isFixed, isWeighted));
    ops.push({ op, shape, operands, reads, results, scope: op.scope });
    operands.forEach((id, operand) => {
      users[id]!.push({ op: index, operand });
    });
  }
  const outputs = graph.outputs.map(({ value }) => numberOf.get(value)!);
  return { graph, ops, values, maker, users, fixed, weighted, weights, numberOf, outputs };
}

/** Attributes as text: equal for equal attributes only, minus zero, infinities and NaN included. */
export function attrsText(attrs: Readonly<Record<string, AttrValue>>): string {
  const keys = Object.keys(attrs).sort();
  return keys.length === 0 ? '' : `{${keys.map((key) => `${key}=${attrText(attrs[key]!)}`).join(', ')}}`;
}

function attrText(value: AttrValue): string {
  if (Array.isArray(value)) return `[${value.map(attrText).join(',')}]`;
  return Object.is(value, -0) ? '-0' : String(value);
}

/** The values of the graph around it that a loop's body uses, bodies within it included. */
function capturedBy(body: Region): Set<Value> {
  const own = new Set<Value>();
  const used = new Set<Value>();
  const visit = (region: Region): void => {
    for (const value of region.parameters) own.add(value);
    for (const op of region.ops) {
      for (const value of op.operands) used.add(value);
      if (op.kind === 'loop') visit(op.body);
      for (const value of op.results) own.add(value);
    }
    for (const value of region.results) used.add(value);
  };
  visit(body);
  for (const value of own) used.delete(value);
  return used;
}

/** By operation: true for those that need one of `ops`, directly or not; `ops` themselves do not count. */
export function dependents(flow: Flow, ops: ReadonlySet<number>): readonly boolean[] {
  const found: boolean[] = [];
  flow.ops.forEach((op, index) => {
    found.push(op.reads.some((id) => ops.has(flow.maker[id]!) || found[flow.maker[id]!]) && !ops.has(index));
  });
  return found;
}

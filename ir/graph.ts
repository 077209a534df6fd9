import type { Dim } from './dims.ts';
import type { DType } from './dtype.ts';
import type { AttrKind, OpKind, opTable } from './op-table.ts';
import type { TensorType } from './tensor-type.ts';
import type { WeightExpr } from './weights.ts';

/** One tensor of a graph. Values are compared by identity; their names are unique in a graph. */
export interface Value {
  readonly name: string;
  readonly type: TensorType;
}

type AttrType<A extends AttrKind> = A extends readonly (infer Choice)[]
  ? Choice
  : A extends 'int' | 'float'
    ? number
    : A extends 'bool'
      ? boolean
      : A extends 'ints' | 'numbers'
        ? readonly number[]
        : A extends 'dim'
          ? Dim
          : A extends 'dims'
            ? readonly Dim[]
            : DType;

/** The attributes of one kind of operation, from the op table. */
export type AttrsOf<K extends OpKind> = {
  readonly [A in keyof (typeof opTable)[K]['attrs']]: (typeof opTable)[K]['attrs'][A] extends AttrKind
    ? AttrType<(typeof opTable)[K]['attrs'][A]>
    : never;
};

/** One operation of kind K. */
export interface OpOf<K extends OpKind> {
  readonly kind: K;
  readonly operands: readonly Value[];
  readonly attrs: AttrsOf<K>;
  readonly results: readonly Value[];
  /** Where in the model it comes from, outermost first, by `/`: `loop.1/layer.0/self_attn.q_proj`. Empty: nowhere. */
  readonly scope: string;
  /** Of `loop` alone. */
  readonly body: K extends 'loop' ? Region : undefined;
}

export type Op = { readonly [K in OpKind]: OpOf<K> }[OpKind];
export type LoopOp = OpOf<'loop'>;

/** The body of a loop. Its operations may use values from around it. */
export interface Region {
  readonly parameters: readonly Value[];
  readonly ops: readonly Op[];
  readonly results: readonly Value[];
}

/** A weight and the value under which the graph knows it. */
export interface Weight {
  readonly value: Value;
  readonly expr: WeightExpr;
}

export interface Output {
  readonly name: string;
  readonly value: Value;
}

/** What a pass may rely on: every layer spelled out; loops found; taken apart into what a target has. */
export type Stage = 'unrolled' | 'folded' | 'lowered';

/** A computation from inputs and weights to outputs. Operations stand in an order in which they can run. */
export interface Graph<S extends Stage = Stage> {
  readonly name: string;
  readonly stage: S;
  /** An input's name is its name in the interface: input_ids, past_key_values.0.key. */
  readonly inputs: readonly Value[];
  readonly weights: readonly Weight[];
  readonly ops: readonly Op[];
  readonly outputs: readonly Output[];
}

/** Every operation of the graph, loop bodies included, outer before inner. */
export function* allOps(graph: { readonly ops: readonly Op[] }): Generator<Op> {
  for (const op of graph.ops) {
    yield op;
    if (op.kind === 'loop') yield* allOps(op.body);
  }
}

/** The operation that makes each value, loop bodies included; inputs, weights and parameters have none. */
export function definitions(graph: { readonly ops: readonly Op[] }): ReadonlyMap<Value, Op> {
  const makers = new Map<Value, Op>();
  for (const op of allOps(graph)) for (const result of op.results) makers.set(result, op);
  return makers;
}

/** The operations that use each value as an operand, loop bodies included. Body results and graph outputs are no operands. */
export function uses(graph: { readonly ops: readonly Op[] }): ReadonlyMap<Value, readonly Op[]> {
  const users = new Map<Value, Op[]>();
  for (const op of allOps(graph)) {
    for (const operand of new Set(op.operands)) {
      const list = users.get(operand);
      if (list) list.push(op);
      else users.set(operand, [op]);
    }
  }
  return users;
}

import { inferTypes, type OperandsOf } from '../ir/builder.ts';
import { type AttrsOf, allOps, type Graph, type OpOf, type Value, type Weight } from '../ir/graph.ts';
import { invariant } from '../ir/invariant.ts';
import type { OpKind } from '../ir/op-table.ts';
import type { TensorType } from '../ir/tensor-type.ts';
import { type WeightExpr, weightKey, weightType } from '../ir/weights.ts';

/** Makes what a pass adds to a graph whose other values it keeps: names are new, weights are one per expression. */
export interface Additions {
  readonly value: (wish: string, type: TensorType) => Value;
  /** The graph's weight of this expression, or a new one. */
  readonly weight: (wish: string, expr: WeightExpr) => Value;
  /** An operation with new results, or with the one given: where it takes the place of another. */
  readonly op: <K extends Exclude<OpKind, 'loop'>>(
    kind: K,
    operands: OperandsOf<K>,
    attrs: AttrsOf<K>,
    scope: string,
    result: string | Value,
  ) => OpOf<K>;
  /** An operation with several new results, by their names. */
  readonly all: <K extends Exclude<OpKind, 'loop'>>(
    kind: K,
    operands: OperandsOf<K>,
    attrs: AttrsOf<K>,
    scope: string,
    names: readonly string[],
  ) => OpOf<K>;
  /** The graph's weights and the new ones behind them. */
  readonly weights: () => readonly Weight[];
}

export function additions(graph: Graph): Additions {
  const names = new Set<string>();
  const weights = [...graph.weights];
  const byKey = new Map(weights.map(({ value, expr }) => [weightKey(expr), value]));
  for (const { name } of graph.inputs) names.add(name);
  for (const { value } of weights) names.add(value.name);
  for (const op of allOps(graph)) {
    for (const { name } of op.results) names.add(name);
    if (op.kind === 'loop') for (const { name } of op.body.parameters) names.add(name);
  }

  const freshName = (wish: string): string => {
    let name = wish;
    for (let count = 1; names.has(name); count++) name = `${wish}.${count}`;
    names.add(name);
    return name;
  };
  const value: Additions['value'] = (wish, type) => ({ name: freshName(wish), type });

  const make = <K extends Exclude<OpKind, 'loop'>>(
    kind: K,
    operands: OperandsOf<K>,
    attrs: AttrsOf<K>,
    scope: string,
    result: (type: TensorType, i: number) => Value,
  ): OpOf<K> => {
    const given = (operands as readonly (Value | undefined)[]).filter((operand) => operand !== undefined);
    const types = inferTypes(kind, given, attrs);
    invariant(typeof types !== 'string', `${kind} in "${scope}" ${types}`);
    return { kind, operands: given, attrs, results: types.map(result), scope, body: undefined } as unknown as OpOf<K>;
  };

  return {
    value,
    weight(wish, expr) {
      const key = weightKey(expr);
      const known = byKey.get(key);
      if (known) return known;
      const added = value(wish, weightType(expr));
      byKey.set(key, added);
      weights.push({ value: added, expr });
      return added;
    },
    op: (kind, operands, attrs, scope, result) =>
      make(kind, operands, attrs, scope, (type) => (typeof result === 'string' ? value(result, type) : result)),
    all: (kind, operands, attrs, scope, names) =>
      make(kind, operands, attrs, scope, (type, i) => value(names[i] ?? kind, type)),
    weights: () => weights,
  };
}

import type { Op, Value } from '../../ir/graph.ts';
import type { WeightExpr } from '../../ir/weights.ts';

/** The numbers in a value, in order, if the graph says them: constants and literals, stacked or repeated. */
export function knownNumbers(
  value: Value,
  expressions: ReadonlyMap<Value, WeightExpr>,
  makers: ReadonlyMap<Value, Op>,
): readonly number[] | undefined {
  const expr = expressions.get(value);
  if (expr) return literalNumbers(expr);
  const maker = makers.get(value);
  if (maker?.kind === 'constant') return maker.attrs.values;
  if (maker?.kind === 'stack') {
    return joinAll(maker.operands.map((operand) => knownNumbers(operand, expressions, makers)));
  }
  if (maker?.kind !== 'expand') return undefined;
  const numbers = knownNumbers(maker.operands[0]!, expressions, makers);
  const count = maker.attrs.dims.reduce((n: number, dim) => (typeof dim === 'number' ? n * dim : Number.NaN), 1);
  return numbers?.length === 1 && count > 0 ? new Array<number>(count).fill(numbers[0]!) : undefined;
}

function literalNumbers(expr: WeightExpr): readonly number[] | undefined {
  if (expr.kind === 'literal') return expr.values;
  return expr.kind === 'stack' ? joinAll(expr.of.map(literalNumbers)) : undefined;
}

function joinAll(lists: readonly (readonly number[] | undefined)[]): readonly number[] | undefined {
  return lists.every((list) => list !== undefined) ? (lists as readonly (readonly number[])[]).flat() : undefined;
}

import { definitions, type Graph, type LoopOp, type Op, type OpOf, type Value } from '../../ir/graph.ts';
import { sameDims } from '../../ir/tensor-type.ts';
import { type WeightExpr, weightType } from '../../ir/weights.ts';
import { unpaddedFactors } from './unpadded-factors.ts';

/** How the entries of a value along its first axis can be had without the value. */
export type Parts =
  | { readonly kind: 'values'; readonly values: readonly Value[] }
  | { readonly kind: 'constants'; readonly of: OpOf<'constant'>['attrs'] }
  | { readonly kind: 'weights'; readonly of: readonly WeightExpr[] };

/** What unrolling knows about the values of a graph before it starts. */
export interface PartsOf {
  /** Undefined for a value that is not made of parts. */
  readonly parts: (value: Value) => Parts | undefined;
  /** True for a value of which only parts are used once the loops are gone. */
  readonly onlyParts: (value: Value) => boolean;
  /** True for a value that something uses as it is. */
  readonly isWhole: (value: Value) => boolean;
}

/** A loop that unrolls: it always runs all of its depths. */
export function unrolls(op: Op): op is LoopOp {
  return op.kind === 'loop' && !op.attrs.stops && !op.attrs.limited;
}

export function partsOf(graph: Graph): PartsOf {
  const makers = definitions(graph);
  const weights = new Map(graph.weights.map(({ value, expr }) => [value, expr]));
  const parts = (value: Value): Parts | undefined => {
    const weight = weights.get(value);
    if (weight) return weight.kind === 'stack' ? { kind: 'weights', of: weight.of } : undefined;
    const maker = makers.get(value);
    if (maker?.kind === 'stack') return { kind: 'values', values: maker.operands };
    if (maker?.kind === 'constant' && maker.attrs.dims.length > 0) return { kind: 'constants', of: maker.attrs };
    return undefined;
  };

  const taken = new Set<Value>();
  const whole = new Set<Value>(graph.outputs.map(({ value }) => value));
  const take = (value: Value, unpads: boolean): void => {
    const of = parts(value);
    const padded =
      of?.kind === 'weights' && of.of.some((part) => !sameDims(weightType(part).dims, value.type.dims.slice(1)));
    (padded && !unpads ? whole : taken).add(value);
  };
  const visit = (ops: readonly Op[]): void => {
    for (const op of ops) {
      const first = unrolls(op)
        ? op.attrs.carried
        : op.kind === 'select' && op.attrs.axis === 0
          ? 0
          : op.operands.length;
      const unpadded = unrolls(op) ? unpaddedFactors(op, weights) : new Set<Value>();
      op.operands.forEach((value, i) => {
        if (i < first) whole.add(value);
        else take(value, op.kind === 'loop' && unpadded.has(op.body.parameters[i + 1]!));
      });
      if (op.kind !== 'loop') continue;
      for (const value of op.body.results) whole.add(value);
      visit(op.body.ops);
    }
  };
  visit(graph.ops);
  return { parts, onlyParts: (value) => taken.has(value) && !whole.has(value), isWhole: (value) => whole.has(value) };
}

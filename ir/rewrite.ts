import { type GraphBuilder, graphBuilder } from './builder.ts';
import type { Graph, LoopOp, Op, Region, Stage, Value } from './graph.ts';

/** What a rule sees of the operation at hand. */
export interface RewriteContext {
  /** Adds to the new graph, at the place and in the scope of the operation. */
  readonly builder: GraphBuilder;
  /** The new value for an old one. */
  readonly map: (value: Value) => Value;
  /** The new values of the operation's operands. */
  readonly operands: readonly Value[];
}

/** New values for the results of `op`, or undefined to keep the operation. Keep it, and its types must still fit. */
export type RewriteRule = (op: Op, context: RewriteContext) => readonly Value[] | undefined;

/**
 * Copies `graph`, replacing operations as `rule` says, in order, loop bodies included. Names of values are kept where
 * the value is. Weights keep their place, used or not; remove-dead-code drops what nothing uses any more.
 */
export function rewriteGraph<S extends Stage>(graph: Graph<Stage>, stage: S, rule: RewriteRule): Graph<S> {
  const builder = graphBuilder(graph.name);
  const mapped = new Map<Value, Value>();
  for (const input of graph.inputs) mapped.set(input, builder.input(input.name, input.type));
  for (const { value, expr } of graph.weights) mapped.set(value, builder.weight(value.name, expr));
  copyOps(graph.ops, builder, mapped, rule);
  for (const { name, value } of graph.outputs) builder.output(name, mapped.get(value)!);
  return builder.finish(stage);
}

/** Adds `ops` to `builder`, with `mapped` telling (and learning) which new value stands for which old one. */
export function copyOps(
  ops: readonly Op[],
  builder: GraphBuilder,
  mapped: Map<Value, Value>,
  rule: RewriteRule = () => undefined,
): void {
  const map = (value: Value): Value => mapped.get(value) ?? value;
  for (const op of ops) {
    const operands = op.operands.map(map);
    const replacement = builder.inScope(op.scope, () => rule(op, { builder, map, operands }));
    const results = replacement ?? builder.inScope(op.scope, () => copyOp(op, operands, builder, mapped, rule));
    op.results.forEach((old, i) => {
      mapped.set(old, results[i]!);
    });
  }
}

function copyOp(
  op: Op,
  operands: readonly Value[],
  builder: GraphBuilder,
  mapped: Map<Value, Value>,
  rule: RewriteRule,
): readonly Value[] {
  if (op.kind !== 'loop') {
    // The wish is the old name, so that dumps before and after a pass can be compared line by line.
    const results = op.results.map(({ name, type }) => ({ name: builder.freshName(name), type }));
    builder.adopt({ ...op, operands, results } as Op);
    return results;
  }
  const results = op.results.map(({ name, type }) => ({ name: builder.freshName(name), type }));
  const body = copyRegion(op.body, builder, mapped, rule);
  builder.adopt({ ...op, operands, results, body } as LoopOp);
  return results;
}

/** A copy of a loop's body, with parameters of its own. */
export function copyRegion(
  body: Region,
  builder: GraphBuilder,
  mapped: Map<Value, Value>,
  rule: RewriteRule = () => undefined,
): Region {
  const parameters = body.parameters.map(({ name, type }) => ({ name: builder.freshName(name), type }));
  body.parameters.forEach((old, i) => {
    mapped.set(old, parameters[i]!);
  });
  return builder.region(parameters, () => {
    copyOps(body.ops, builder, mapped, rule);
    return body.results.map((value) => mapped.get(value) ?? value);
  });
}

import { definitions, type Graph, type LoopOp, type Op, type Value } from '../../ir/graph.ts';
import type { OpKind } from '../../ir/op-table.ts';

/** Outputs that are f32 whatever a graph computes in: people read them, and compare them with thresholds. */
export function isF32Output(name: string): boolean {
  return name === 'logits' || name === 'confidence' || name.startsWith('exit_logits.');
}

/**
 * Values that lead from a head to such an output, and the heads: the products that they come from. Carried values that
 * such an output is taken from are among them, in every place of their loop.
 */
export function f32Values(graph: Graph, follows: (kind: OpKind) => boolean): ReadonlySet<Value> {
  const makers = definitions(graph);
  const loops = new Map<Value, LoopOp>();
  for (const op of makers.values()) {
    if (op.kind === 'loop') for (const parameter of op.body.parameters) loops.set(parameter, op);
  }
  const found = new Set<Value>();
  const pending = graph.outputs.filter(({ name }) => isF32Output(name)).map(({ value }) => value);
  for (let value = pending.pop(); value; value = pending.pop()) {
    if (found.has(value)) continue;
    found.add(value);
    const maker: Op | undefined = makers.get(value);
    const loop = maker?.kind === 'loop' ? maker : loops.get(value);
    if (loop) {
      const first = loop.attrs.stops ? 1 : 0;
      const i = maker ? loop.results.indexOf(value) : loop.body.parameters.indexOf(value) - 1;
      if (i >= 0 && i < loop.attrs.carried) {
        pending.push(loop.operands[i]!, loop.body.parameters[1 + i]!, loop.results[i]!);
      }
      if (i >= 0 && (maker || i < loop.attrs.carried)) pending.push(loop.body.results[first + i]!);
    } else if (maker && follows(maker.kind)) {
      pending.push(...maker.operands);
    }
  }
  return found;
}

import { allOps, type Graph, type Value } from '../ir/graph.ts';

/** How often each value is an operand, a result of a body, or an output of the graph. */
export function useCounts(graph: Pick<Graph, 'ops' | 'outputs'>): (value: Value) => number {
  const counts = new Map<Value, number>();
  const use = (value: Value): void => {
    counts.set(value, (counts.get(value) ?? 0) + 1);
  };
  for (const op of allOps(graph)) {
    op.operands.forEach(use);
    if (op.kind === 'loop') op.body.results.forEach(use);
  }
  for (const { value } of graph.outputs) use(value);
  return (value) => counts.get(value) ?? 0;
}

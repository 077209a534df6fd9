import type { Body, BodyNode } from './body.ts';
import type { Flow } from './flow.ts';

/** A value of the body that something outside the loop uses. */
export interface Leaving {
  readonly node: BodyNode;
  readonly result: number;
  /** By depth: whether the value of that depth is used. */
  readonly used: readonly boolean[];
  /** The carried value that it becomes: what the last depth leaves needs no collecting. */
  readonly carried: number | undefined;
  /** False when the last depth's carried value is all that is used. */
  readonly collected: boolean;
}

/** The values that leave the loop, in the order of the body. */
export function leavingValues(flow: Flow, body: Body): readonly Leaving[] {
  const inside = new Set(body.nodes.flatMap((node) => node.ops));
  const read = new Set(flow.outputs);
  flow.ops.forEach(({ reads }, index) => {
    if (!inside.has(index)) for (const id of reads) read.add(id);
  });
  const leaving: Leaving[] = [];
  for (const node of body.nodes) {
    flow.ops[node.ops[0]!]!.results.forEach((_, result) => {
      // An operation that stands in several places of the block leaves from one of them.
      const used = node.ops.map((op) => read.delete(flow.ops[op]!.results[result]!));
      if (!used.includes(true)) return;
      const index = body.carried.findIndex(
        ({ next }) => next.kind === 'node' && next.node === node && next.result === result,
      );
      const carried = index < 0 ? undefined : index;
      const collected = carried === undefined || used.slice(0, -1).includes(true);
      leaving.push({ node, result, used, carried, collected });
    });
  }
  return leaving;
}

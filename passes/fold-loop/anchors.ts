import { weightKey } from '../../ir/weights.ts';
import type { Flow } from './flow.ts';

/** A weight that operations of one kind use at least twice in the same role: the trace that a loop leaves. */
export interface Anchor {
  /** Number of the weight, or of what is computed from it alone, such as its transpose. */
  readonly value: number;
  readonly elements: number;
  /** The operations that use it, in order. */
  readonly uses: readonly number[];
}

/** Heaviest first, and in the same order however the graph's operations are ordered. */
export function findAnchors(flow: Flow): readonly Anchor[] {
  const found: { anchor: Anchor; key: string }[] = [];
  flow.values.forEach((value, id) => {
    const elements = flow.weighted[id] ? elementsOf(value.type.dims) : 0;
    if (elements === 0) return;
    const byRole = new Map<string, number[]>();
    for (const { op, operand } of flow.users[id]!) {
      const user = flow.ops[op]!;
      // Weights are used where they meet what the graph computes, not where one is made from another.
      if (user.results.every((result) => flow.fixed[result])) continue;
      const role = `${user.op.kind} ${operand}`;
      const list = byRole.get(role);
      if (list) list.push(op);
      else byRole.set(role, [op]);
    }
    for (const [role, uses] of byRole) {
      if (uses.length < 2) continue;
      found.push({ anchor: { value: id, elements, uses }, key: `${role} ${rootKeys(flow, id)}` });
    }
  });
  const gain = ({ elements, uses }: Anchor): number => elements * (uses.length - 1);
  found.sort((a, b) => gain(b.anchor) - gain(a.anchor) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return found.map(({ anchor }) => anchor);
}

/** How many elements dims hold; 0 when one of them has a name. */
export function elementsOf(dims: readonly (number | string)[]): number {
  return dims.reduce<number>((count, dim) => (typeof dim === 'number' ? count * dim : 0), 1);
}

/** Keys of the weights that a value is made of. */
function rootKeys(flow: Flow, id: number): readonly string[] {
  const expr = flow.weights.get(id);
  if (expr) return [weightKey(expr)];
  const maker = flow.maker[id]!;
  return maker < 0 ? [] : flow.ops[maker]!.operands.flatMap((operand) => rootKeys(flow, operand));
}

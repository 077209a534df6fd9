import { resultIndex, sameMaker } from './alike.ts';
import type { BodyNode } from './body.ts';
import type { Flow } from './flow.ts';
import { advance, mostLike, type Step } from './path.ts';

/** By operation: where in a body it is. */
export type Placed = ReadonlyMap<number, { readonly node: Pick<BodyNode, 'ops'>; readonly depth: number }>;

/**
 * For values that each depth (but the first) takes from the depth before: what the last depth makes in their place.
 * `outside` when they follow from nothing in the loop; undefined when the last depth makes nothing alike.
 */
export function carriedOn(
  flow: Flow,
  values: readonly number[],
  placed: Placed,
  carried: readonly (readonly number[])[],
): number | 'outside' | undefined {
  const loops = values.length;
  const later = values.slice(1);
  // What the depth before was given, rather than what it made.
  const given = carried.find((list) => later.every((value, depth) => value === list[depth]));
  if (given) return given[loops - 1];
  if (!later.every((value) => flow.maker[value] === -1 || sameMaker(flow, value, later[0]!))) {
    return values.some((value) => follows(flow, value, placed)) ? undefined : 'outside';
  }
  // The way back from the last depth's value to something that the depth before is known to have.
  const counterpart = (value: number): number | undefined => {
    const at = placed.get(flow.maker[value]!);
    if (at?.depth === loops - 2) return flow.ops[at.node.ops[loops - 1]!]!.results[resultIndex(flow, value)];
    for (const list of carried) {
      if (list[loops - 1] === value) return list[loops];
      if (list[loops - 2] === value) return list[loops - 1];
    }
    return undefined;
  };
  const start = values[loops - 1]!;
  const cameFrom = new Map<number, { to: number; step: Step } | undefined>([[start, undefined]]);
  for (const value of cameFrom.keys()) {
    const known = counterpart(value);
    if (known !== undefined) {
      let found: readonly number[] = [known];
      for (let at = cameFrom.get(value); at; at = cameFrom.get(at.to)) found = advance(flow, found, at.step);
      // What has its place in the block already is rather another operation that looks alike.
      const free = found.filter((id) => !placed.has(flow.maker[id]!));
      const last = mostLike(flow, free.length > 0 ? free : found, start);
      if (last !== undefined) return last;
      // What the loop starts with may be where something outside comes from, too.
      break;
    }
    const maker = flow.maker[value]!;
    const op = flow.ops[maker];
    op?.operands.forEach((id, operand) => {
      const step = { op: maker, operand, result: resultIndex(flow, value) };
      if (!cameFrom.has(id)) cameFrom.set(id, { to: value, step });
    });
  }
  return values.some((value) => follows(flow, value, placed)) ? undefined : 'outside';
}

/** Whether a value needs an operation of the body, at any depth. */
function follows(flow: Flow, value: number, placed: Placed): boolean {
  const seen = new Set([flow.maker[value]!]);
  for (const op of seen) {
    if (op < 0) continue;
    if (placed.has(op)) return true;
    for (const id of flow.ops[op]!.reads) seen.add(flow.maker[id]!);
  }
  return false;
}

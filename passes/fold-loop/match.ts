import type { Op } from '../../ir/graph.ts';
import { resultIndex, sameMaker, sameTypes } from './alike.ts';
import { arrangeBody, type Body, type Ref } from './body.ts';
import { carriedOn } from './carried-on.ts';
import type { Flow } from './flow.ts';
import { leafOf } from './leaf.ts';
import { type Miss, nameOp, oddMiss } from './miss.ts';
import { whyNoLoop } from './why-no-loop.ts';

/** More values carried from depth to depth than this are no loop that a person wrote. */
const mostCarried = 8;

/** A node while its operands are still being found. */
interface OpenNode {
  readonly ops: readonly number[];
  readonly operands: Ref[];
}

/**
 * Compares the repetitions of a block, all depths in step, from the value that ends each back to the value before it.
 * `boundary` holds that value before every depth and after the last.
 */
export function matchBody(flow: Flow, boundary: readonly number[]): Body | Miss {
  const handedOn = new Set<string>();
  for (;;) {
    const known = handedOn.size;
    const result = tryBody(flow, boundary, handedOn);
    if ('nodes' in result || handedOn.size === known || handedOn.size > mostCarried) return result;
  }
}

/**
 * {@link matchBody}, with `handedOn` telling (and learning) operations that look alike at all depths, the first of them
 * in front of the loop, but are what each depth hands to the next.
 */
function tryBody(flow: Flow, boundary: readonly number[], handedOn: Set<string>): Body | Miss {
  const loops = boundary.length - 1;
  const carried: number[][] = [[...boundary]];
  const open: OpenNode[] = [];
  const refs = new Map<string, Ref>();
  /** By operation: where in the body it is. One that stands for two depths is no part of a repetition. */
  const placed = new Map<number, { node: OpenNode; depth: number }>();
  /** Operands that differ in a way that only values from outside the loop, or carried ones, may. */
  const odd: { values: readonly number[]; node: OpenNode; operand: number; miss: Miss }[] = [];
  let overlap: Miss | undefined;

  const place = (ops: readonly number[]): Ref & { kind: 'node' } => {
    const node: OpenNode = { ops, operands: [] };
    open.push(node);
    ops.forEach((op, depth) => {
      const other = placed.get(op);
      // At one depth it may stand in several places: there, what differs elsewhere is equal (updates of rank 0).
      if (!other) placed.set(op, { node, depth });
      else if (other.depth !== depth) {
        if (other.depth === depth + 1) handedOn.add(`${other.node.ops}`);
        overlap ??= {
          depth: Math.max(depth, 1),
          message: `${nameOp(flow, op)} would belong to two depths`,
          vague: true,
        };
      }
    });
    return { kind: 'node', node, result: 0 };
  };

  /** What a tuple of operands is, one for each depth; a miss when it can be nothing that the body reads. */
  const refOf = (values: readonly number[], user: Op, operand: number): Ref | Miss | 'odd' => {
    if (values.every((value) => value === values[0])) return { kind: 'shared', value: values[0]! };
    const index = carried.findIndex((list) => values.every((value, depth) => value === list[depth]));
    if (index >= 0) return { kind: 'carried', index };
    const factor = user.kind === 'low_rank' && (operand === 1 || operand === 2);
    const key = `${factor ? 'factors ' : ''}${values}`;
    const known = refs.get(key);
    if (known) return known;

    let ref: Ref | undefined;
    const leaf = leafOf(flow, values, factor);
    if (leaf && 'message' in leaf) return leaf;
    if (leaf) ref = { kind: 'each', each: leaf };
    else if (values.every((value) => sameMaker(flow, value, values[0]!))) {
      const ops = values.map((value) => flow.maker[value]!);
      const before = ops.slice(1).every((op, d) => placed.get(op)?.depth === d && placed.get(op)?.node.ops[d] === op);
      if (before || handedOn.has(`${ops}`)) return 'odd';
      const there = placed.get(ops[0]!);
      const same = there?.depth === 0 && ops.every((op, depth) => op === there.node.ops[depth]);
      const node = same ? there.node : place(ops).node;
      ref = { kind: 'node', node, result: resultIndex(flow, values[0]!) };
    }
    if (!ref) return 'odd';
    refs.set(key, ref);
    return ref;
  };

  const close = (from: number): Miss | undefined => {
    for (let i = from; i < open.length; i++) {
      const node = open[i]!;
      const first = flow.ops[node.ops[0]!]!;
      for (let operand = 0; operand < first.operands.length; operand++) {
        const values = node.ops.map((op) => flow.ops[op]!.operands[operand]!);
        const ref = refOf(values, first.op, operand);
        if (ref === 'odd') odd.push({ values, node, operand, miss: oddMiss(flow, values) });
        else if ('message' in ref) return ref;
        else node.operands[operand] = ref;
        if (overlap) return overlap;
      }
    }
    return undefined;
  };

  const ends = boundary.slice(1);
  if (!ends.every((value) => sameMaker(flow, value, ends[0]!))) return oddMiss(flow, ends);
  if (!sameTypes(flow, boundary)) return oddMiss(flow, boundary);
  const next: Ref[] = [{ ...place(ends.map((value) => flow.maker[value]!)), result: resultIndex(flow, ends[0]!) }];
  let missed = close(0);
  if (missed) return missed;

  // What differs at depth 0 alone, or from depth to depth: another carried value, or values from outside.
  for (let i = 0; i < odd.length; i++) {
    const { values, node, operand, miss } = odd[i]!;
    const known = carried.findIndex((list) => values.every((value, depth) => value === list[depth]));
    const outside = refs.get(`${values}`);
    if (known >= 0 || outside) {
      node.operands[operand] = outside ?? { kind: 'carried', index: known };
      continue;
    }
    const last = carriedOn(flow, values, placed, carried);
    if (last === 'outside') {
      if (!sameTypes(flow, values) || new Set(values).size < values.length) return miss;
      const ref: Ref = { kind: 'each', each: { kind: 'mixed', values } };
      refs.set(`${values}`, ref);
      node.operands[operand] = ref;
      continue;
    }
    if (last === undefined || carried.length === mostCarried) return miss;
    const list = [...values, last];
    if (!sameTypes(flow, list)) return miss;
    carried.push(list);
    const results = list.slice(1);
    const length = open.length;
    const ref = refOf(results, flow.ops[node.ops[0]!]!.op, operand);
    if (ref === 'odd' || 'message' in ref) return miss;
    next.push(ref);
    missed = close(length);
    if (missed) return missed;
    node.operands[operand] = { kind: 'carried', index: carried.length - 1 };
  }

  const body = arrangeBody(flow, loops, carried, next);
  return whyNoLoop(flow, body) ?? body;
}

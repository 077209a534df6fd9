import type { LoopOp, Op, Value } from '../ir/graph.ts';
import type { AttrValue, OpKind } from '../ir/op-table.ts';
import type { StablePass } from './pass.ts';

/**
 * Computes once what is computed more than once.
 *
 * Given: operations of one kind with equal attributes and the same operands, wherever they stand; and operations in a
 * loop's body that need nothing which changes from depth to depth.
 * Result: the first of equals, used by all; and what does not depend on a loop before it, where it runs once. That is
 * never more work, since a loop runs at least one depth.
 * Invariants: the first of equals keeps its name; its scope becomes the part that all their scopes share, so that no
 * operation claims a place which another needs as well. Where they share nothing it keeps its own.
 * Edge cases: the operands of `add`, `mul`, `and`, `or` and `equal` may come in either order. Loops are neither merged
 * nor moved. 0 and −0 are different numbers.
 */
export const cse: StablePass = {
  name: 'cse',
  numerics: 'exact',
  changesInterface: false,
  run(graph, { note }) {
    const kept = new Map<string, Op>();
    const scopes = new Map<Op, string>();
    const replaced = new Map<Value, Value>();
    // How many loops are around the place where a value is made; inputs and weights are at 0.
    const levels = new Map<Value, number>();
    const numbers = new Map<Value, number>();
    const lists: Op[][] = [[]];
    let merged = 0;
    let hoisted = 0;

    const resolve = (value: Value): Value => replaced.get(value) ?? value;
    const numberOf = (value: Value): number => {
      const known = numbers.get(value) ?? numbers.size;
      numbers.set(value, known);
      return known;
    };
    const visit = (op: Op): void => {
      const operands = op.operands.map(resolve);
      const here = lists.length - 1;
      if (op.kind === 'loop') {
        for (const parameter of op.body.parameters) levels.set(parameter, here + 1);
        lists.push([]);
        op.body.ops.forEach(visit);
        const body = { ...op.body, ops: lists.pop()!, results: op.body.results.map(resolve) };
        for (const result of op.results) levels.set(result, here);
        lists[here]!.push({ ...op, operands, body });
        return;
      }
      const key = `${op.kind}(${inOrder(op.kind, operands.map(numberOf))})${attrsKey(op.attrs)}`;
      const first = kept.get(key);
      if (first) {
        merged++;
        scopes.set(first, sharedScope(scopes.get(first) ?? first.scope, op.scope));
        op.results.forEach((result, i) => {
          replaced.set(result, first.results[i]!);
        });
        return;
      }
      // Equal operations have equal operands, hence one level: the first is where every later one can see it.
      const level = Math.max(0, ...operands.map((value) => levels.get(value) ?? 0));
      if (level < here) hoisted++;
      const copy = { ...op, operands } as Op;
      kept.set(key, copy);
      for (const result of op.results) levels.set(result, level);
      lists[level]!.push(copy);
    };

    graph.ops.forEach(visit);
    if (merged > 0) note(`merged ${merged} operations into equal ones`);
    if (hoisted > 0) note(`moved ${hoisted} operations out of loops`);
    return {
      ...graph,
      ops: withScopes(lists[0]!, scopes),
      outputs: graph.outputs.map(({ name, value }) => ({ name, value: resolve(value) })),
    };
  },
};

const commutative: ReadonlySet<OpKind> = new Set(['add', 'mul', 'and', 'or', 'equal']);

function inOrder(kind: OpKind, operands: readonly number[]): readonly number[] {
  return commutative.has(kind) ? [...operands].sort((a, b) => a - b) : operands;
}

function attrsKey(attrs: Readonly<Record<string, AttrValue>>): string {
  const names = Object.keys(attrs).sort();
  return names.map((name) => `;${name}=${attrKey(attrs[name]!)}`).join('');
}

function attrKey(value: AttrValue): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  return typeof value === 'object' ? `[${value.map(attrKey)}]` : String(value);
}

function withScopes(ops: readonly Op[], scopes: ReadonlyMap<Op, string>): readonly Op[] {
  return ops.map((op): Op => {
    if (op.kind !== 'loop') return { ...op, scope: scopes.get(op) ?? op.scope };
    const loop: LoopOp = { ...op, body: { ...op.body, ops: withScopes(op.body.ops, scopes) } };
    return loop;
  });
}

/** The components that two scopes begin with; `a` where they begin with none. */
export function sharedScope(a: string, b: string): string {
  const [left, right] = [a.split('/'), b.split('/')];
  const differs = left.findIndex((part, i) => part !== right[i]);
  return differs <= 0 ? a : left.slice(0, differs).join('/');
}

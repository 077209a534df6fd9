import { addDims, type Dim } from '../ir/dims.ts';
import { definitions, type Op, type OpOf, type Value } from '../ir/graph.ts';
import { sameDims } from '../ir/tensor-type.ts';
import { type Additions, additions } from './additions.ts';
import { sharedScope } from './cse.ts';
import type { StablePass } from './pass.ts';
import { useCounts } from './use-counts.ts';

type Rotary = OpOf<'rotary'>;

/**
 * Rotates queries and keys in one go, for targets on which each operation costs something however small it is.
 *
 * Given: `rotary(q, cos, sin)` and `rotary(k, cos, sin)` in one list of operations, q and k alike but for their heads.
 * Result: `split(rotary(concat(q, k), cos, sin))`, joined along the heads. Where both are heads cut from matrices in the
 * same way, the matrices are joined.
 * Leaves to remove-dead-code: how heads were cut one by one.
 * Invariants: what uses the first of the two moves behind the second.
 * Edge case: of three with the same angles, the first two are joined. A rotation that needs the other is left alone.
 */
export const joinRotary: StablePass = {
  name: 'join-rotary',
  numerics: 'exact',
  changesInterface: false,
  run(graph) {
    const add = additions(graph);
    const made = definitions(graph);
    const count = useCounts(graph);
    const single = (value: Value): Op | undefined => (count(value) === 1 ? made.get(value) : undefined);
    const join = (ops: readonly Op[]): readonly Op[] => {
      const firsts = pairs(ops);
      const seconds = new Map([...firsts].map(([first, second]) => [second, first]));
      const joined: Op[] = [];
      /** What waits for a second rotation: the first, and all that needs it. */
      let waiting: Op[] = [];
      const late = new Set<Value>();
      for (const op of ops) {
        const copy = op.kind === 'loop' ? { ...op, body: { ...op.body, ops: join(op.body.ops) } } : op;
        const first = seconds.get(op);
        if (first) {
          joined.push(...rotateBoth(add, single, first as Rotary, op as Rotary), ...waiting);
          waiting = [];
          late.clear();
        } else if (firsts.has(op)) {
          for (const result of op.results) late.add(result);
        } else if (needs(op, late)) {
          waiting.push(copy);
          for (const result of op.results) late.add(result);
        } else joined.push(copy);
      }
      return joined;
    };
    return { ...graph, ops: join(graph.ops), weights: add.weights() };
  },
};

/** Rotations of one list that can be joined: from the first of two to the second. No two pairs are open at once. */
function pairs(ops: readonly Op[]): ReadonlyMap<Op, Op> {
  const found = new Map<Op, Op>();
  let open: { readonly op: Rotary; readonly late: Set<Value> } | undefined;
  for (const op of ops) {
    const dependent = open && needs(op, open.late);
    if (op.kind === 'rotary') {
      if (open && !dependent && fits(open.op, op)) {
        found.set(open.op, op);
        open = undefined;
        continue;
      }
      open = { op, late: new Set(op.results) };
    } else if (open && dependent) for (const result of op.results) open.late.add(result);
  }
  return found;
}

function fits(a: Rotary, b: Rotary): boolean {
  const [x, y] = [a.operands[0]!.type, b.operands[0]!.type];
  const apart = (dims: readonly Dim[]) => dims.filter((_, axis) => axis !== 1);
  const sameAngles = a.operands[1] === b.operands[1] && a.operands[2] === b.operands[2];
  return sameAngles && x.dtype === y.dtype && sameDims(apart(x.dims), apart(y.dims));
}

/** True for an operation that uses one of these values, in a loop's body, too. */
function needs(op: Op, values: ReadonlySet<Value>): boolean {
  if (values.size === 0) return false;
  if (op.operands.some((operand) => values.has(operand))) return true;
  return (
    op.kind === 'loop' &&
    (op.body.ops.some((inner) => needs(inner, values)) || op.body.results.some((r) => values.has(r)))
  );
}

function rotateBoth(
  add: Additions,
  single: (value: Value) => Op | undefined,
  first: Rotary,
  second: Rotary,
): readonly Op[] {
  const scope = sharedScope(first.scope, second.scope);
  const ops: Op[] = [];
  const push = (op: Op): Value => {
    ops.push(op);
    return op.results[0]!;
  };
  const joinAlong = (a: Value, b: Value, axis: number): Value => {
    const [left, right] = [single(a), single(b)];
    if (left?.kind === 'transpose' && right?.kind === 'transpose' && `${left.attrs.perm}` === `${right.attrs.perm}`) {
      const inner = joinAlong(left.operands[0]!, right.operands[0]!, left.attrs.perm[axis]!);
      return push(add.op('transpose', [inner], left.attrs, scope, 'heads.joined'));
    }
    if (left?.kind === 'reshape' && right?.kind === 'reshape' && cutsLast(left, axis) && cutsLast(right, axis)) {
      const inner = joinAlong(left.operands[0]!, right.operands[0]!, axis);
      const dims = left.attrs.dims.map((dim, i) => (i === axis ? addDims(dim, right.attrs.dims[i]!) : dim));
      return push(add.op('reshape', [inner], { dims }, scope, 'heads.joined'));
    }
    return push(add.op('concat', [a, b], { axis }, scope, 'heads.joined'));
  };
  const x = joinAlong(first.operands[0]!, second.operands[0]!, 1);
  const [, cos, sin] = second.operands as [Value, Value, Value];
  const rotated = push(add.op('rotary', [x, cos, sin], {}, scope, 'heads.rotated'));
  const sizes = [first, second].map((op) => op.operands[0]!.type.dims[1]!);
  const parts = add.all('split', [rotated], { axis: 1, sizes }, scope, ['', '']);
  return [...ops, { ...parts, results: [first.results[0]!, second.results[0]!] }];
}

/** True for [.., N·D] as [.., N, D], with `axis` that of N: joined along N, such tensors are joined along their last axis. */
function cutsLast({ operands, attrs }: OpOf<'reshape'>, axis: number): boolean {
  const { dims } = operands[0]!.type;
  return (
    axis === dims.length - 1 &&
    attrs.dims.length === dims.length + 1 &&
    sameDims(dims.slice(0, -1), attrs.dims.slice(0, -2))
  );
}

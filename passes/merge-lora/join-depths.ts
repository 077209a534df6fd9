import { type Dim, multiplyDims } from '../../ir/dims.ts';
import type { DType } from '../../ir/dtype.ts';
import type { Op, Value } from '../../ir/graph.ts';
import { sameDims } from '../../ir/tensor-type.ts';
import { type WeightExpr, weightType } from '../../ir/weights.ts';
import type { Additions } from '../additions.ts';
import { sharedScope } from '../cse.ts';
import type { Precision } from '../set-precision.ts';
import type { DepthUpdate } from './depth-updates.ts';

/**
 * One product with the A's of all depths and all `updates`, which share x and the depths of its rows; times the scale
 * where a column is of the row's depth and 0 elsewhere; and of that, for each update, a product with its B's. What is
 * not of the row's depth adds zeros, which change no bit.
 * @returns what takes the place of each update's operation
 */
export function joinDepths(
  add: Additions,
  updates: readonly DepthUpdate[],
  compute: Precision,
): ReadonlyMap<Op, readonly Op[]> {
  const { x, depth } = updates[0]!;
  const scope = updates.map(({ op }) => op.scope).reduce(sharedScope);
  const ops: Op[] = [];
  const push = <T extends Op>(op: T): Value => {
    ops.push(op);
    return op.results[0]!;
  };
  const a = add.weight(
    `${updates[0]!.op.operands[1]!.name}.joined`,
    join(
      0,
      updates.flatMap(({ depths }) => depths.map((factors) => factors.a)),
    ),
  );
  const inner = push(add.op('linear', [x, a], {}, scope, 'lora.joined'));
  // In f16 a column of another depth may be infinite, which times 0 is no number.
  const own = (compute === 'f16' ? chosenByDepth : scaledByDepth)(add, push, updates, inner, depth, scope);
  const ranks = updates.map(({ depths }) => depths.reduce((sum, { rank }) => sum + rank, 0));
  const names = updates.map(({ op }) => `${op.results[0]!.name}.a`);
  const pieces = updates.length === 1 ? [own] : splitLast(add, own, ranks, scope, names, ops);
  return new Map(
    updates.map(({ op, depths }, i) => {
      const b = add.weight(
        `${op.operands[2]!.name}.joined`,
        join(
          1,
          depths.map((factors) => factors.b),
        ),
      );
      const product = add.op('linear', [pieces[i]!, b], {}, op.scope, op.results[0]!);
      return [op, i === 0 ? [...ops, product] : [product]] as const;
    }),
  );
}

/** What the columns of `inner` are of, in order. */
function columnsOf(updates: readonly DepthUpdate[]): readonly { readonly d: number; readonly scale: number }[] {
  return updates.flatMap(({ depths }) =>
    depths.flatMap(({ rank, scale }, d) => new Array(rank).fill({ d, scale }) as { d: number; scale: number }[]),
  );
}

/** `inner` times the scale where a column is of its token's depth, 0 elsewhere, whatever is there. */
function chosenByDepth(
  add: Additions,
  push: (op: Op) => Value,
  updates: readonly DepthUpdate[],
  inner: Value,
  depth: Value,
  scope: string,
): Value {
  const columns = columnsOf(updates);
  const { dtype, dims } = inner.type;
  const vector = (type: DType, values: readonly number[], name: string) =>
    push(add.op('constant', [], { dtype: type, dims: [columns.length], values }, scope, name));
  const scaled = columns.every(({ scale }) => scale === 1)
    ? inner
    : push(
        add.op(
          'mul',
          [
            inner,
            vector(
              dtype,
              columns.map(({ scale }) => scale),
              'lora.scales',
            ),
          ],
          {},
          scope,
          'lora.scaled',
        ),
      );
  const tokens = tokenDepths(add, push, depth, dims.slice(0, -1), scope);
  const tall = push(add.op('reshape', [tokens], { dims: [...tokens.type.dims, 1] }, scope, 'lora.depth'));
  const depths = vector(
    'i64',
    columns.map(({ d }) => d),
    'lora.depths',
  );
  const equal = push(add.op('equal', [tall, depths], {}, scope, 'lora.mask'));
  const mask = sameDims(equal.type.dims, dims) ? equal : push(add.op('reshape', [equal], { dims }, scope, 'lora.mask'));
  const zero = push(add.op('constant', [], { dtype, dims: [], values: [0] }, scope, 'lora.nothing'));
  return push(add.op('where', [mask, scaled, zero], {}, scope, 'lora.own'));
}

/** `inner` times the scale of its token's depth in the columns of that depth, times 0 in the others. */
function scaledByDepth(
  add: Additions,
  push: (op: Op) => Value,
  updates: readonly DepthUpdate[],
  inner: Value,
  depth: Value,
  scope: string,
): Value {
  const columns = columnsOf(updates);
  const loops = updates[0]!.depths.length;
  const values = Array.from({ length: loops }, (_, d) => columns.map((column) => (column.d === d ? column.scale : 0)));
  const { dtype, dims } = inner.type;
  const table = { dtype, dims: [loops, columns.length], values: values.flat() };
  const scales = push(add.op('constant', [], table, scope, 'lora.scales'));
  // Looked up for tokens right away, since products are of matrices with a row for each.
  const tokens = tokenDepths(add, push, depth, dims.slice(0, -1), scope);
  const mask = push(add.op('gather', [scales, tokens], { axis: 0 }, scope, 'lora.mask'));
  const whole = sameDims(mask.type.dims, dims) ? mask : push(add.op('reshape', [mask], { dims }, scope, 'lora.mask'));
  return push(add.op('mul', [inner, whole], {}, scope, 'lora.own'));
}

/** The depth of every token's row, one after the other: i64 [ROWS·TOKENS], the same for all updates. */
function tokenDepths(
  add: Additions,
  push: (op: Op) => Value,
  depth: Value,
  dims: readonly Dim[],
  scope: string,
): Value {
  if (dims.length === 1) return depth;
  const apart = [dims[0]!, ...dims.slice(1).map(() => 1)];
  const tall = push(add.op('reshape', [depth], { dims: apart }, scope, 'lora.depth'));
  const each = push(add.op('expand', [tall], { dims }, scope, 'lora.depth'));
  return push(add.op('reshape', [each], { dims: [multiplyDims(1, ...dims)] }, scope, 'lora.depth'));
}

function splitLast(
  add: Additions,
  x: Value,
  sizes: readonly number[],
  scope: string,
  names: readonly string[],
  ops: Op[],
): readonly Value[] {
  const pieces = add.all('split', [x], { axis: x.type.dims.length - 1, sizes }, scope, names);
  ops.push(pieces);
  return pieces.results;
}

/** Weights one after the other; those without elements say nothing, and one alone is itself. */
function join(axis: number, parts: readonly WeightExpr[]): WeightExpr {
  const filled = parts.filter((part) => !weightType(part).dims.includes(0));
  return filled.length === 1 ? filled[0]! : { kind: 'concat', axis, of: filled };
}

import { type GraphBuilder, inferTypes } from '../../ir/builder.ts';
import { type Dim, symbolsOf } from '../../ir/dims.ts';
import type { FloatDType } from '../../ir/dtype.ts';
import type { Op, OpOf, Value } from '../../ir/graph.ts';
import { elementwiseOps } from '../../ir/op-table/elementwise.ts';
import { Refusal } from '../refusal.ts';
import type { Anatomy } from './anatomy.ts';
import type { Copied } from './region.ts';
import { renameAttrs, type Sizes } from './rename-dims.ts';

export interface ByDepth {
  readonly anatomy: Anatomy;
  readonly builder: GraphBuilder;
  readonly sizes: Sizes;
  /** i64 [rows]. */
  readonly depth: Value | undefined;
}

/**
 * Copies an operation of a loop's body some of whose operands differ by depth. While nothing in it has rows, it is
 * computed for all depths at once: its result has them stacked on a new first axis. Where it meets rows, every row gets
 * what belongs to its depth: LoRA factors by low_rank_by_depth, anything else by looking it up, so that it has rows, too.
 * @throws Refusal where an operation cannot be said so
 */
export function copyByDepth(op: Op, operands: readonly Copied[], context: ByDepth): readonly Copied[] {
  const hasRows = ({ type }: Value) => type.dims.some((dim) => symbolsOf(dim).includes(context.anatomy.sizes.batch));
  if (![...op.operands, ...op.results].some(hasRows))
    return [{ value: forAllDepths(op, operands, context), stacked: true }];
  return [{ value: forRows(op, operands, context), stacked: false }];
}

/** Of operations that work along one axis of their only operand. */
const alongAxis = new Set<Op['kind']>([
  'slice',
  'select',
  'softmax',
  'cumsum',
  'reduce_sum',
  'reduce_mean',
  'reduce_max',
]);

function forAllDepths(op: Op, operands: readonly Copied[], { anatomy, builder, sizes }: ByDepth): Value {
  const { loops } = anatomy.loop!;
  const [name, rank] = [op.results[0]!.name, op.results[0]!.type.dims.length];
  const [x] = operands as readonly [Copied];
  const wide = ({ value, stacked }: Copied): Value => {
    const missing = stacked ? 1 + rank - value.type.dims.length : 0;
    if (missing === 0) return value;
    const dims = [loops, ...Array.from({ length: missing }, () => 1), ...value.type.dims.slice(1)];
    return builder.add('reshape', [value], { dims }, value.name);
  };
  if (Object.hasOwn(elementwiseOps, op.kind)) return addAs(builder, op, operands.map(wide), op.attrs);
  if (op.kind === 'reshape') return builder.add('reshape', [x.value], { dims: [loops, ...renamed(op, sizes)] }, name);
  if (op.kind === 'expand') return builder.add('expand', [wide(x)], { dims: [loops, ...renamed(op, sizes)] }, name);
  if (op.kind === 'transpose') {
    return builder.add('transpose', [x.value], { perm: [0, ...op.attrs.perm.map((axis) => axis + 1)] }, name);
  }
  if (alongAxis.has(op.kind)) {
    const attrs = renameAttrs(op, sizes) as { readonly axis: number };
    return addAs(builder, op, [x.value], { ...attrs, axis: attrs.axis + 1 } as unknown as Op['attrs']);
  }
  const [, second] = operands;
  if (
    op.kind === 'linear' &&
    x.stacked &&
    op.operands[0]!.type.dims.length > 0 &&
    operands.slice(1).every((o) => !o.stacked)
  ) {
    return addAs(
      builder,
      op,
      operands.map(({ value }) => value),
      op.attrs,
    );
  }
  // A table that all depths share, looked up by what each has: the depth itself, for one.
  if (op.kind === 'gather' && op.attrs.axis === 0 && !x.stacked && second!.stacked) {
    return builder.add('gather', [x.value, second!.value], { axis: 0 }, name);
  }
  return refuse(op, operands);
}

function forRows(op: Op, operands: readonly Copied[], context: ByDepth): Value {
  const { builder, depth } = context;
  const [name, rank] = [op.results[0]!.name, op.results[0]!.type.dims.length];
  if (!depth) return refuse(op, operands);
  /** An entry a row, with 1s between the rows and its own axes where the result has more. */
  const byRow = ({ value, stacked }: Copied, axes: number): Value => {
    if (!stacked) return value;
    const own = value.type.dims.slice(1);
    // Every depth has a 1 in place of rows, which rows take.
    const inner = own.length === axes && own[0] === 1 ? own.slice(1) : own;
    if (inner.length >= axes) return refuse(op, operands);
    const found = builder.add('gather', [value, depth], { axis: 0 }, `${value.name}.row`);
    const dims = [depth.type.dims[0]!, ...Array.from({ length: axes - 1 - inner.length }, () => 1), ...inner];
    return builder.add('reshape', [found], { dims }, `${value.name}.row`);
  };
  if (Object.hasOwn(elementwiseOps, op.kind)) {
    return addAs(
      builder,
      op,
      operands.map((operand) => byRow(operand, rank)),
      op.attrs,
    );
  }
  const [x, second, third] = operands as readonly [Copied, Copied, Copied | undefined];
  if (op.kind === 'expand') {
    return builder.add('expand', [byRow(x, rank)], { dims: renamed(op, context.sizes) }, name);
  }
  if (x.stacked) return refuse(op, operands);
  switch (op.kind) {
    case 'low_rank': {
      const [a, b, scale] = operands.slice(1).map((factor) => atEveryDepth(factor, context)) as [Value, Value, Value];
      return builder.add('low_rank_by_depth', [x.value, a, b, scale, depth], {}, name);
    }
    case 'rms_norm':
    case 'layer_norm': {
      const plain = (number: number, like: Value) => {
        const width = like.type.dims.at(-1) as number;
        const values = Array.from({ length: width }, () => number);
        return builder.constant(like.type.dtype as FloatDType, values);
      };
      const { epsilon } = op.attrs;
      const one = plain(1, x.value);
      const normed =
        op.kind === 'rms_norm'
          ? builder.add('rms_norm', [x.value, one], { epsilon }, name)
          : builder.add('layer_norm', [x.value, one, plain(0, x.value)], { epsilon }, name);
      const scaled = builder.add('mul', [normed, byRow(second, rank)], {}, name);
      return third ? builder.add('add', [scaled, byRow(third, rank)], {}, name) : scaled;
    }
    case 'linear': {
      const product = second.stacked
        ? matrixByRow(second.value, x.value, context, name)
        : builder.add('linear', [x.value, second.value], {}, name);
      return third ? builder.add('add', [product, byRow(third, rank)], {}, name) : product;
    }
    case 'matmul':
      return builder.add('matmul', [x.value, byRow(second, rank)], {}, name);
    default:
      return refuse(op, operands);
  }
}

/** x · weightᵀ with a weight of each depth, [loops, OUT, IN], for x [rows, .., IN]. */
function matrixByRow(stacked: Value, x: Value, { builder, depth }: ByDepth, name: string): Value {
  const [, outputs, inputs] = stacked.type.dims as [Dim, Dim, Dim];
  const found = builder.add('gather', [stacked, depth!], { axis: 0 }, `${stacked.name}.row`);
  const turned = builder.add('transpose', [found], { perm: [0, 2, 1] }, `${stacked.name}.row`);
  const between = Array.from({ length: Math.max(x.type.dims.length - 3, 0) }, () => 1);
  const dims = [depth!.type.dims[0]!, ...between, inputs, outputs];
  const matrices = builder.add('reshape', [turned], { dims }, `${stacked.name}.row`);
  return builder.add('matmul', [x, matrices], {}, name);
}

/** A value with an entry for every depth, be they all the same. */
function atEveryDepth({ value, stacked }: Copied, { anatomy, builder }: ByDepth): Value {
  if (stacked) return value;
  return builder.add('expand', [value], { dims: [anatomy.loop!.loops, ...value.type.dims] }, `${value.name}.each`);
}

function renamed(op: OpOf<'reshape'> | OpOf<'expand'>, sizes: Sizes): readonly Dim[] {
  return renameAttrs(op, sizes).dims;
}

/** The same operation on other operands. */
function addAs(builder: GraphBuilder, op: Op, operands: readonly Value[], attrs: Op['attrs']): Value {
  const given = { ...op, operands, attrs };
  const types = op.kind === 'loop' ? 'is in a loop' : inferTypes(op.kind, operands, attrs as never);
  if (typeof types === 'string') throw new Refusal(`${op.kind} in "${op.scope}" ${types} once rows are apart.`);
  const result = { name: builder.freshName(op.results[0]!.name), type: types[0]! };
  builder.adopt({ ...given, results: [result] } as unknown as Op);
  return result;
}

function refuse(op: Op, operands: readonly Copied[]): never {
  const own = op.operands.filter((_, i) => operands[i]!.stacked).map(({ name }) => `%${name}`);
  throw new Refusal(
    `${op.kind} in "${op.scope}" works on ${own.join(', ')}, which differs by depth; a step, whose rows are at several depths, cannot do that.`,
  );
}

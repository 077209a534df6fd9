import { type GraphBuilder, inferTypes } from '../../ir/builder.ts';
import { symbolsOf } from '../../ir/dims.ts';
import type { Op, OpOf, Value } from '../../ir/graph.ts';
import { Refusal } from '../refusal.ts';
import type { Anatomy } from './anatomy.ts';
import { copyByDepth } from './copy-by-depth.ts';
import { inWholeVectors } from './in-whole-vectors.ts';
import { renameAttrs, type Sizes } from './rename-dims.ts';

/** A part of a decoder copied for other rows than the whole batch. */
export interface Region {
  /** What stands for a value of the decoder here; copies whatever it takes that was not copied yet. */
  readonly get: (value: Value) => Value;
}

export interface RegionOptions {
  readonly builder: GraphBuilder;
  /** What the names of the decoder's sizes are here. */
  readonly sizes: Sizes;
  /** What stands for a value of the decoder; undefined for one that has to be copied. Asked once a value. */
  readonly given: (value: Value) => Value | undefined;
  /** i64 [rows]: the depth of every row; undefined where nothing may depend on it. */
  readonly depth: Value | undefined;
  /** What stands for an attention's result, given its queries and the new keys and values of its layer. */
  readonly attend: ((op: OpOf<'attention'>, q: Value, key: Value, value: Value) => Value) | undefined;
}

/** What stands for a value: itself, or, for what differs by depth and not by row, all depths of it, stacked. */
export interface Copied {
  readonly value: Value;
  readonly stacked: boolean;
}

/**
 * Copies operations of a decoder when somebody asks for what they make, with other sizes, and with other values in place
 * of some. Copies keep the order of the decoder, and every value is copied once.
 * @throws Refusal from `get` where something cannot be copied, naming the operation
 */
export function region(anatomy: Anatomy, options: RegionOptions): Region {
  const { builder, sizes } = options;
  const order = new Map(anatomy.ops.map((op, i) => [op, i]));
  const copies = new Map<Value, Copied>();

  /** What has to be there before a value can be; undefined when it is there already. */
  const needs = (value: Value): Op | readonly Value[] | undefined => {
    if (copies.has(value)) return undefined;
    const expr = anatomy.weights.get(value);
    const plain = options.given(value) ?? (expr && builder.weight(value.name, expr));
    if (plain) {
      copies.set(value, { value: plain, stacked: false });
      return undefined;
    }
    const stacked = anatomy.loop?.stacked.get(value);
    if (stacked) {
      if (!stacked.type.dims.some((dim) => symbolsOf(dim).includes(anatomy.sizes.batch))) return [stacked];
      throw new Refusal(`%${value.name}, which has rows of its own at every depth, is read other than as a cache.`);
    }
    const op = anatomy.makers.get(value);
    if (op?.kind === 'loop') throw new Refusal(`%${value.name}, which the loop of "${op.scope}" collects, is read.`);
    if (!op && value !== anatomy.loop?.depth) throw new Refusal(`%${value.name} is read, which a step is not given.`);
    return op ?? [];
  };

  const operandsOf = (op: Op): readonly Value[] => {
    const layer = anatomy.layers.readBy.get(op);
    return layer ? [op.operands[0]!, layer.key, layer.value] : op.operands;
  };

  /** What the loop is given by depth, and the depth itself. */
  const copiedParameter = (value: Value): Copied => {
    const { loop } = anatomy;
    if (value === loop?.depth) {
      return { value: builder.add('iota', [], { size: loop.loops }, 'depths'), stacked: true };
    }
    return { value: copies.get(loop!.stacked.get(value)!)!.value, stacked: true };
  };

  const copy = (op: Op): readonly Copied[] => {
    if (op.kind === 'attention' && options.attend) {
      const [q, key, value] = operandsOf(op).map((operand) => copies.get(operand)!.value) as [Value, Value, Value];
      return [{ value: builder.inScope(op.scope, () => options.attend!(op, q, key, value)), stacked: false }];
    }
    const operands = op.operands.map((operand) => copies.get(operand)!);
    if (operands.some(({ stacked }) => stacked)) {
      return builder.inScope(op.scope, () =>
        copyByDepth(op, operands, { anatomy, builder, sizes, depth: options.depth }),
      );
    }
    if (op.kind === 'cos' || op.kind === 'sin') {
      const value = builder.inScope(op.scope, () => inWholeVectors(builder, op, operands[0]!.value));
      return [{ value, stacked: false }];
    }
    return copyPlainly(
      op,
      operands.map(({ value }) => value),
      options,
    ).map((value) => ({ value, stacked: false }));
  };

  const get = (wanted: Value): Value => {
    const ops = new Set<Op>();
    const parameters = new Set<Value>();
    const pending = [wanted];
    for (let value = pending.pop(); value; value = pending.pop()) {
      const needed = needs(value);
      if (needed === undefined) continue;
      if ('kind' in needed) {
        if (!ops.has(needed)) pending.push(...operandsOf(needed));
        ops.add(needed);
      } else {
        parameters.add(value);
        pending.push(...needed);
      }
    }
    const settle = (value: Value): void => {
      if (parameters.has(value) && !copies.has(value)) copies.set(value, copiedParameter(value));
    };
    for (const op of [...ops].sort((a, b) => order.get(a)! - order.get(b)!)) {
      operandsOf(op).forEach(settle);
      const made = copy(op);
      op.results.forEach((result, i) => {
        copies.set(result, made[i]!);
      });
    }
    settle(wanted);
    const { value, stacked } = copies.get(wanted)!;
    if (stacked) throw new Refusal(`%${wanted.name} is the same in all rows of a depth, which a hidden state is not.`);
    return value;
  };
  return { get };
}

/** A copy of an operation that keeps the names of its results, with the types that they have here. */
export function copyPlainly(
  op: Op,
  operands: readonly Value[],
  { builder, sizes }: Pick<RegionOptions, 'builder' | 'sizes'>,
): readonly Value[] {
  if (op.kind === 'loop') throw new Refusal(`There is a loop in a loop, in "${op.scope}".`);
  const attrs = renameAttrs(op, sizes);
  const types = inferTypes(op.kind, operands, attrs);
  if (typeof types === 'string') throw new Refusal(`${op.kind} in "${op.scope}" ${types} once rows are apart.`);
  const results = op.results.map(({ name }, i) => ({ name: builder.freshName(name), type: types[i]! }));
  builder.adopt({ ...op, operands, attrs, results } as Op);
  return results;
}

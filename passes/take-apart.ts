import type { GraphBuilder } from '../ir/builder.ts';
import { type Dim, multiplyDims } from '../ir/dims.ts';
import type { FloatDType } from '../ir/dtype.ts';
import { definitions, type Op, type OpOf, type Stage, type Value } from '../ir/graph.ts';
import type { OpKind } from '../ir/op-table.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import { roundTo } from '../ir/rounding.ts';
import type { Pass } from './pass.ts';

/**
 * Writes composite operations as what every target has, but for those in `keeps`, which the target has itself.
 *
 * Given: rms_norm, add_rms_norm, rotary, rotary_lookup, attention, low_rank, at any stage.
 * Result: the same numbers from element-wise operations, products, reductions and softmax. Sums over 16-bit values
 * (norms, softmax) are made in f32.
 * Leaves to cse: what all layers make alike from the mask, cos and sin, in the scope of these.
 * Edge case: a low_rank of rank 0, which adds nothing, goes together with the addition.
 */
export function takeApart(keeps: ReadonlySet<OpKind>): Pass<Stage, 'lowered'> {
  return {
    name: 'take-apart',
    options: { keeps: [...keeps].sort().join(' ') },
    numerics: 'reassociates',
    changesInterface: false,
    run(graph) {
      const made = definitions(graph);
      return rewriteGraph(graph, 'lowered', (op, { builder, operands }) => {
        if (op.kind === 'add') return withoutNothing(op, operands, made);
        if (keeps.has(op.kind)) return undefined;
        const besides = (operand: number) => made.get(op.operands[operand]!)?.scope ?? op.scope;
        switch (op.kind) {
          case 'rms_norm':
            return [rmsNorm(builder, operands[0]!, operands[1]!, op.attrs.epsilon)];
          case 'add_rms_norm': {
            const sum = builder.add('add', [operands[0]!, operands[1]!], {}, 'hidden');
            return [rmsNorm(builder, sum, operands[2]!, op.attrs.epsilon), sum];
          }
          case 'low_rank':
            return [lowRank(builder, operands as Four, op)];
          case 'rotary':
            return [rotary(builder, operands[0]!, operands[1]!, operands[2]!, besides(1))];
          case 'rotary_lookup': {
            const [x, cos, sin, rows] = operands as Four;
            const find = (table: Value) => builder.add('gather', [table, rows], { axis: 0 }, 'angles');
            return [rotary(builder, x, find(cos), find(sin), op.scope)];
          }
          case 'attention':
            return [attention(builder, operands as Four, op, besides(3))];
          default:
            return undefined;
        }
      });
    },
  };
}

type Four = readonly [Value, Value, Value, Value];

/** x + low_rank(...) of rank 0 is x. */
function withoutNothing(
  op: OpOf<'add'>,
  operands: readonly Value[],
  made: ReadonlyMap<Value, Op>,
): readonly Value[] | undefined {
  const isNothing = (value: Value): boolean => {
    const maker = made.get(value);
    return maker?.kind === 'low_rank' && maker.operands[1]!.type.dims[0] === 0;
  };
  if (isNothing(op.operands[1]!)) return [operands[0]!];
  return isNothing(op.operands[0]!) ? [operands[1]!] : undefined;
}

function lowRank(builder: GraphBuilder, [x, a, b, scale]: Four, op: OpOf<'low_rank'>): Value {
  const { dtype, dims } = op.results[0]!.type;
  if (a.type.dims[0] === 0) return builder.add('expand', [builder.constant(dtype, 0)], { dims }, 'nothing');
  const inner = builder.add('linear', [x, a], {}, 'lora.a');
  return builder.add('linear', [builder.add('mul', [inner, scale], {}, 'lora.scaled'), b], {}, 'lora.b');
}

function rmsNorm(builder: GraphBuilder, x: Value, scale: Value, epsilon: number): Value {
  const narrow = x.type.dtype as FloatDType;
  const wide = narrow === 'f64' ? 'f64' : 'f32';
  const as = (value: Value, to: FloatDType): Value =>
    value.type.dtype === to ? value : builder.add('cast', [value], { to }, 'cast');
  const input = as(x, wide);
  const square = builder.add('mul', [input, input], {}, 'square');
  const mean = builder.add('reduce_mean', [square], { axis: x.type.dims.length - 1, keep: true }, 'mean_square');
  const shifted = builder.add('add', [mean, builder.constant(wide, roundTo(wide, epsilon))], {}, 'variance');
  const deviation = builder.add('sqrt', [shifted], {}, 'deviation');
  const normed = builder.add('div', [input, deviation], {}, 'normed');
  return as(builder.add('mul', [normed, as(scale, wide)], {}, 'norm.out'), narrow);
}

/**
 * The rotation as two products and a sum, x · (cos, cos) + swapped(x) · (-sin, sin), where what does not rotate has a
 * cos of 1 and a sin of 0.
 */
function rotary(builder: GraphBuilder, x: Value, cos: Value, sin: Value, tableScope: string): Value {
  const width = x.type.dims[3] as number;
  const { dtype, dims } = cos.type;
  const [batch, sequence, half] = dims as [Dim, Dim, number];
  const rest = width - 2 * half;
  const fill = (value: number): readonly Value[] =>
    rest === 0
      ? []
      : [builder.add('expand', [builder.constant(dtype, value)], { dims: [batch, sequence, rest] }, 'resting')];
  const wide = (parts: readonly Value[], name: string): Value => {
    const joined = builder.add('concat', parts, { axis: 2 }, name);
    return builder.add('reshape', [joined], { dims: [batch, 1, sequence, width] }, name);
  };
  const [wideCos, wideSin] = builder.inScope(tableScope, () => [
    wide([cos, cos, ...fill(1)], 'cos.wide'),
    wide([builder.add('neg', [sin], {}, 'sin.negative'), sin, ...fill(0)], 'sin.wide'),
  ]) as [Value, Value];
  const part = (start: number, end: number): Value => builder.add('slice', [x], { axis: 3, start, end }, 'half');
  const parts = [part(half, 2 * half), part(0, half), ...(rest === 0 ? [] : [part(2 * half, width)])];
  const swapped = builder.add('concat', parts, { axis: 3 }, 'swapped');
  const along = builder.add('mul', [x, wideCos], {}, 'along');
  const across = builder.add('mul', [swapped, wideSin], {}, 'across');
  return builder.add('add', [along, across], {}, 'rotated');
}

/**
 * The mask as a number to add to scores: 0, or the lowest there is, beside which a score is nothing, so that a query
 * that sees no key has all scores alike. One row per query of each group: f32 [BATCH, 1, GROUP · SEQUENCE, TOTAL].
 */
function maskBias(builder: GraphBuilder, mask: Value, group: number, dtype: 'f32' | 'f64'): Value {
  const [batch, , sequence, total] = mask.type.dims as [Dim, Dim, Dim, Dim];
  const lowest = dtype === 'f32' ? -3.4028234663852886e38 : -Number.MAX_VALUE;
  const zero = builder.constant(dtype, 0);
  const bias = builder.add('where', [mask, zero, builder.constant(dtype, lowest)], {}, 'bias');
  if (group === 1) return bias;
  const apart = builder.add('reshape', [bias], { dims: [batch, 1, 1, sequence, total] }, 'bias');
  const repeated = builder.add('expand', [apart], { dims: [batch, 1, group, sequence, total] }, 'bias.groups');
  const dims = [batch, 1, multiplyDims(group, sequence), total];
  return builder.add('reshape', [repeated], { dims }, 'bias.rows');
}

/**
 * Query heads of one KV head become rows of one product, so that keys and values are read once and not once a head.
 * The scale goes onto the queries, which are smaller than the scores.
 */
function attention(
  builder: GraphBuilder,
  [q, k, v, mask]: Four,
  { attrs }: OpOf<'attention'>,
  maskScope: string,
): Value {
  const [batch, heads, sequence] = q.type.dims as [Dim, number, Dim];
  const kvHeads = k.type.dims[1] as number;
  const group = heads / kvHeads;
  const dtype = q.type.dtype as FloatDType;
  const wide = dtype === 'f64' ? 'f64' : 'f32';
  const bias = builder.inScope(maskScope, () => maskBias(builder, mask, group, wide));
  const groupedDims = [batch, kvHeads, multiplyDims(group, sequence), q.type.dims[3]!];
  const grouped = group === 1 ? q : builder.add('reshape', [q], { dims: groupedDims }, 'q.grouped');
  // Right before the product, where ONNX Runtime makes it a factor of the product itself.
  const scaled =
    attrs.scale === 1
      ? grouped
      : builder.add('mul', [grouped, builder.constant(dtype, roundTo(dtype, attrs.scale))], {}, 'q.scaled');
  const keys = builder.add('transpose', [k], { perm: [0, 1, 3, 2] }, 'k.transposed');
  const scores = builder.add('matmul', [scaled, keys], {}, 'scores');
  const wideScores = dtype === wide ? scores : builder.add('cast', [scores], { to: wide }, 'scores');
  const masked = builder.add('add', [wideScores, bias], {}, 'scores.masked');
  const wideShares = builder.add('softmax', [masked], { axis: 3 }, 'shares');
  const shares = dtype === wide ? wideShares : builder.add('cast', [wideShares], { to: dtype }, 'shares');
  const attended = builder.add('matmul', [shares, v], {}, 'attended');
  const dims = [batch, heads, sequence, v.type.dims[3]!];
  return group === 1 ? attended : builder.add('reshape', [attended], { dims }, 'attended');
}

import type { GraphBuilder } from '../ir/builder.ts';
import type { Dim } from '../ir/dims.ts';
import type { FloatDType } from '../ir/dtype.ts';
import { definitions, type Op, type OpOf, type Stage, type Value } from '../ir/graph.ts';
import type { OpKind } from '../ir/op-table.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import { roundTo } from '../ir/rounding.ts';
import type { Pass } from './pass.ts';
import { attention } from './take-apart/attention.ts';
import { isEmptyUpdate, lowRank, lowRankByDepth } from './take-apart/low-rank.ts';
import { pagedAttention, wholeAttention } from './take-apart/paged-attention.ts';

/**
 * Writes composite operations as what every target has, but for those in `keeps`, which the target has itself.
 *
 * Given: rms_norm, add_rms_norm, rotary, rotary_lookup, attention, paged_attention, low_rank, low_rank_by_depth, at any
 * stage.
 * Result: the same numbers from element-wise operations, products, reductions and softmax. Sums over 16-bit values
 * (norms, softmax) are made in f32.
 * Leaves to cse: what all layers make alike from the masks and page tables, cos and sin, in the scope of masks and these.
 * Edge cases: an update of rank 0, which adds nothing, goes together with the addition. Where attention is kept and
 * paged_attention is not, that is an attention over what the pages hold, joined with what is new.
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
          case 'low_rank_by_depth':
            return [lowRankByDepth(builder, operands, op)];
          case 'rotary':
            return [rotary(builder, operands[0]!, operands[1]!, operands[2]!, besides(1))];
          case 'rotary_lookup': {
            const [x, cos, sin, rows] = operands as Four;
            const find = (table: Value) => builder.add('gather', [table, rows], { axis: 0 }, 'angles');
            return [rotary(builder, x, find(cos), find(sin), op.scope)];
          }
          case 'attention':
            return [attention(builder, operands as Four, op, besides(3))];
          case 'paged_attention':
            return [
              keeps.has('attention')
                ? wholeAttention(builder, op, operands, besides)
                : pagedAttention(builder, op, operands, besides, keeps.has('rotary_lookup')),
            ];
          default:
            return undefined;
        }
      });
    },
  };
}

type Four = readonly [Value, Value, Value, Value];

/** x + an update of rank 0 is x. */
function withoutNothing(
  op: OpOf<'add'>,
  operands: readonly Value[],
  made: ReadonlyMap<Value, Op>,
): readonly Value[] | undefined {
  if (isEmptyUpdate(made.get(op.operands[1]!))) return [operands[0]!];
  return isEmptyUpdate(made.get(op.operands[0]!)) ? [operands[1]!] : undefined;
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

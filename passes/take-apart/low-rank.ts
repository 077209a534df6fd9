import type { GraphBuilder } from '../../ir/builder.ts';
import { type Dim, multiplyDims } from '../../ir/dims.ts';
import type { Op, OpOf, Value } from '../../ir/graph.ts';
import { sameDims } from '../../ir/tensor-type.ts';

/** True for an update of rank 0, which adds nothing. */
export function isEmptyUpdate(op: Op | undefined): boolean {
  if (op?.kind === 'low_rank') return op.operands[1]!.type.dims[0] === 0;
  return op?.kind === 'low_rank_by_depth' && op.operands[1]!.type.dims[1] === 0;
}

export function lowRank(
  builder: GraphBuilder,
  [x, a, b, scale]: readonly [Value, Value, Value, Value],
  op: OpOf<'low_rank'>,
): Value {
  if (isEmptyUpdate(op)) return nothing(builder, op);
  const inner = builder.add('linear', [x, a], {}, 'lora.a');
  return builder.add('linear', [builder.add('mul', [inner, scale], {}, 'lora.scaled'), b], {}, 'lora.b');
}

/**
 * The factors of each row's depth are looked up and multiplied row by row. Turning them comes first: factors that are
 * weights are turned once, before the graph runs.
 */
export function lowRankByDepth(
  builder: GraphBuilder,
  [x, a, b, scale, depth]: readonly Value[],
  op: OpOf<'low_rank_by_depth'>,
): Value {
  if (isEmptyUpdate(op)) return nothing(builder, op);
  const [rows, ...rest] = x!.type.dims as [Dim, ...Dim[]];
  const { dims } = op.results[0]!.type;
  const ofRows = (factor: Value, name: string): Value => {
    const turned = builder.add('transpose', [factor], { perm: [0, 2, 1] }, name);
    return builder.add('gather', [turned, depth!], { axis: 0 }, name);
  };
  const as = (value: Value, to: readonly Dim[], name: string): Value =>
    sameDims(value.type.dims, to) ? value : builder.add('reshape', [value], { dims: to }, name);
  const tokens = as(x!, [rows, multiplyDims(1, ...rest.slice(0, -1)), rest.at(-1)!], 'lora.x');
  const inner = builder.add('matmul', [tokens, ofRows(a!, 'lora.a')], {}, 'lora.inner');
  const factor = as(builder.add('gather', [scale!, depth!], { axis: 0 }, 'lora.scale'), [rows, 1, 1], 'lora.scale');
  const scaled = builder.add('mul', [inner, factor], {}, 'lora.scaled');
  return as(builder.add('matmul', [scaled, ofRows(b!, 'lora.b')], {}, 'lora.update'), dims, 'lora.update');
}

function nothing(builder: GraphBuilder, op: Op): Value {
  const { dtype, dims } = op.results[0]!.type;
  return builder.add('expand', [builder.constant(dtype, 0)], { dims }, 'nothing');
}

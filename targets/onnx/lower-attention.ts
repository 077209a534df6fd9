import type { FloatDType } from '../../ir/dtype.ts';
import type { OpOf, Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';
import { roundTo } from '../../ir/rounding.ts';
import type { LoweringContext } from './lowerings.ts';
import { float } from './onnx-writer.ts';

/**
 * The IR's attention as Attention of opset 23: heads in an axis of their own, so that their numbers need not be said, and
 * the mask as numbers to add. A mask of booleans would make NaN of a query that sees no key, and a NaN among values
 * reaches every query, for 0 · NaN is not 0.
 */
export function lowerAttention(
  { operands, attrs, results }: OpOf<'attention'>,
  { spec, writer, name, biasOf }: LoweringContext,
): void {
  invariant(spec.keeps.has('attention'), 'attention came to the ONNX target whole');
  const [q, k, v, mask] = operands as readonly [Value, Value, Value, Value];
  const dtype = q.type.dtype as FloatDType;
  const bias = biasOf(mask, () =>
    writer.inScope('mask', () => {
      const [seen, hidden] = [writer.constant(dtype, [], [0]), writer.constant(dtype, [], [hiddenScore(dtype)])];
      return writer.add('Where', [name(mask), seen, hidden]);
    }),
  );
  writer.define('Attention', [name(q), name(k), name(v), bias], results, {
    attributes: { scale: float(attrs.scale) },
  });
}

/** So low that beside it a score counts for nothing, and so far from the lowest number that a score can be added to it. */
function hiddenScore(dtype: FloatDType): number {
  return dtype === 'f16' ? -30_000 : roundTo(dtype, -1e30);
}

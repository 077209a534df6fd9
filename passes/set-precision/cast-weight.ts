import type { FloatDType } from '../../ir/dtype.ts';
import { type WeightExpr, weightType } from '../../ir/weights.ts';

/**
 * A weight in another type. A widening to be undone goes, so that what the file holds is used as it is where the types
 * match; joined weights are cast one by one, so that each stays what it is in its file.
 */
export function castWeight(expr: WeightExpr, to: FloatDType): WeightExpr {
  const { dtype } = weightType(expr);
  if (dtype === to) return expr;
  switch (expr.kind) {
    case 'cast':
      // Only widening casts are made before precision is set: the first type decides which numbers there are.
      return widens(weightType(expr.of).dtype, expr.to) ? castWeight(expr.of, to) : { kind: 'cast', of: expr, to };
    case 'transpose':
      return { ...expr, of: castWeight(expr.of, to) };
    case 'concat':
    case 'stack':
      return { ...expr, of: expr.of.map((part) => castWeight(part, to)) };
    default:
      return { kind: 'cast', of: expr, to };
  }
}

function widens(from: string, to: FloatDType): boolean {
  return (from === 'f16' || from === 'bf16') && (to === 'f32' || to === 'f64');
}

import { formatType } from '../tensor-type.ts';
import type { WeightExpr } from '../weights.ts';
import { formatNumber } from './format-number.ts';

/** A weight's expression as the text form writes it: `cast<f32>(file "model.safetensors" "a.weight" bf16[2,2] @64+8)`. */
export function formatWeight(expr: WeightExpr): string {
  switch (expr.kind) {
    case 'file': {
      const place = `@${expr.offset}+${expr.length}`;
      return `file ${JSON.stringify(expr.file)} ${JSON.stringify(expr.tensor)} ${formatType(expr)} ${place}`;
    }
    case 'literal':
      return `literal ${formatType(expr)} [${expr.values.map(formatNumber).join(',')}]`;
    case 'cast':
      return `cast<${expr.to}>(${formatWeight(expr.of)})`;
    case 'transpose':
      return `transpose<[${expr.perm}]>(${formatWeight(expr.of)})`;
    case 'offset':
      return `offset<${formatNumber(expr.by)}>(${formatWeight(expr.of)})`;
    case 'concat':
      return `concat<${expr.axis}>(${expr.of.map(formatWeight).join(', ')})`;
    case 'stack':
      return `stack(${expr.of.map(formatWeight).join(', ')})`;
    case 'merge':
      return `merge<${formatNumber(expr.scale)}>(${[expr.base, expr.a, expr.b].map(formatWeight).join(', ')})`;
  }
}

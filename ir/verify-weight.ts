import { byteLength } from './dtype.ts';
import { formatType, sameDims, sameType, type TensorType } from './tensor-type.ts';
import { type WeightExpr, type WeightType, weightType } from './weights.ts';

/** What is wrong with a weight that should be a `type`, as ends of sentences that begin with the weight. */
export function verifyWeight(type: TensorType, expr: WeightExpr): readonly string[] {
  const problems = expressionProblems(expr);
  if (problems.length > 0) return problems;
  const found = weightType(expr);
  return sameType(type, found) ? [] : [`is ${formatType(type)}, but its expression gives ${formatType(found)}`];
}

function expressionProblems(expr: WeightExpr): string[] {
  const inner = partsOf(expr).flatMap(expressionProblems);
  if (inner.length > 0) return inner;
  const parts = partsOf(expr).map(weightType);
  const [first] = parts;
  switch (expr.kind) {
    case 'file': {
      const bytes = byteLength(expr.dtype, countOf(expr.dims));
      const problems = bytes === expr.length ? [] : [`reads ${expr.length} bytes for ${formatType(expr)}`];
      return isCount(expr.offset) ? problems : [...problems, `reads from byte ${expr.offset}`];
    }
    case 'literal': {
      const count = countOf(expr.dims);
      return expr.values.length === count ? [] : [`has ${expr.values.length} values for ${formatType(expr)}`];
    }
    case 'cast':
    case 'offset':
      return [];
    case 'transpose': {
      const sorted = [...expr.perm].sort((a, b) => a - b);
      const fits = expr.perm.length === first!.dims.length && sorted.every((axis, i) => axis === i);
      return fits ? [] : [`transposes ${formatType(first!)} by [${expr.perm}]`];
    }
    case 'concat':
      return concatProblems(parts, expr.axis);
    case 'stack': {
      if (!first) return ['stacks nothing'];
      const odd = parts.find((part) => part.dtype !== first.dtype || part.dims.length !== first.dims.length);
      return odd ? [`stacks ${formatType(first)} and ${formatType(odd)}`] : [];
    }
    case 'merge': {
      const [base, a, b] = parts as [WeightType, WeightType, WeightType];
      const fits =
        base.dims.length === 2 &&
        sameDims(a.dims, [a.dims[0] ?? 0, base.dims[1]!]) &&
        sameDims(b.dims, [base.dims[0]!, a.dims[0] ?? 0]);
      return fits ? [] : [`merges ${formatType(b)} · ${formatType(a)} into ${formatType(base)}`];
    }
  }
}

function concatProblems(parts: readonly WeightType[], axis: number): string[] {
  const [first] = parts;
  if (!first) return ['joins nothing'];
  if (!isCount(axis) || axis >= first.dims.length) return [`joins ${formatType(first)} along axis ${axis}`];
  const odd = parts.find(
    ({ dtype, dims }) =>
      dtype !== first.dtype ||
      dims.length !== first.dims.length ||
      dims.some((dim, i) => i !== axis && dim !== first.dims[i]),
  );
  return odd ? [`joins ${formatType(first)} and ${formatType(odd)} along axis ${axis}`] : [];
}

function partsOf(expr: WeightExpr): readonly WeightExpr[] {
  switch (expr.kind) {
    case 'file':
    case 'literal':
      return [];
    case 'cast':
    case 'transpose':
    case 'offset':
      return [expr.of];
    case 'concat':
    case 'stack':
      return expr.of;
    case 'merge':
      return [expr.base, expr.a, expr.b];
  }
}

function countOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

function isCount(x: number): boolean {
  return Number.isSafeInteger(x) && x >= 0;
}

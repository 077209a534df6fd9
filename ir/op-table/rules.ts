import { type DType, isFloat } from '../dtype.ts';
import { broadcastDims, formatType, sameDims, type TensorType, tensor } from '../tensor-type.ts';
import type { AttrValue, OpSpec } from './spec.ts';

type Infer = OpSpec['infer'];

/** One operand, whose type the result has. */
export function unary(domain: 'float' | 'bool'): Infer {
  return ([x]) => {
    const fits = domain === 'bool' ? x!.dtype === 'bool' : isFloat(x!.dtype);
    return fits ? [x!] : `takes ${domain === 'bool' ? 'bool' : 'a float type'}, not ${formatType(x!)}`;
  };
}

/** Two operands of one numeric type that broadcast; the result has that type, or `result`. */
export function binary(result?: DType): Infer {
  return ([a, b]) => {
    if (a!.dtype !== b!.dtype || a!.dtype === 'bool') return `combines ${formatType(a!)} and ${formatType(b!)}`;
    const dims = broadcastDims(a!.dims, b!.dims);
    return dims ? [tensor(result ?? a!.dtype, dims)] : cannotBroadcast(a!, b!);
  };
}

/** Two truths that broadcast. */
export function logical([a, b]: readonly TensorType[]): readonly TensorType[] | string {
  if (a!.dtype !== 'bool' || b!.dtype !== 'bool')
    return `combines ${formatType(a!)} and ${formatType(b!)}, which are not both bool`;
  const dims = broadcastDims(a!.dims, b!.dims);
  return dims ? [tensor('bool', dims)] : cannotBroadcast(a!, b!);
}

/** One axis becomes one number, which stays as an axis of size 1 if `keep`. */
export function reduction(
  [x]: readonly TensorType[],
  { axis, keep }: Readonly<Record<string, AttrValue>>,
): readonly TensorType[] | string {
  if ((axis as number) < 0 || (axis as number) >= x!.dims.length) return `reduces axis ${axis} of ${formatType(x!)}`;
  if (x!.dtype === 'bool') return 'reduces numbers, not bool';
  return [
    tensor(x!.dtype, keep ? x!.dims.map((dim, i) => (i === axis ? 1 : dim)) : x!.dims.filter((_, i) => i !== axis)),
  ];
}

/** x, and vectors as long as its last axis. */
export function normalization([x, ...vectors]: readonly TensorType[]): readonly TensorType[] | string {
  if (!isFloat(x!.dtype)) return `normalizes ${formatType(x!)}`;
  const odd = vectors.find((v) => v.dtype !== x!.dtype || !sameDims(v.dims, [x!.dims.at(-1)!]));
  return odd ? `scales ${formatType(x!)} by ${formatType(odd)}` : [x!];
}

/** What to say when operands do not go together. */
export function cannotBroadcast(...types: readonly TensorType[]): string {
  return `cannot broadcast ${types.map(formatType).join(' and ')}`;
}

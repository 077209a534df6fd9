import { isFloat } from '../dtype.ts';
import { formatType, tensor } from '../tensor-type.ts';
import { reduction, unary } from './rules.ts';
import type { OpSpec } from './spec.ts';

/** What runs along one axis. */
export const alongAxisOps = {
  reduce_sum: { operands: ['x'], attrs: { axis: 'int', keep: 'bool' }, infer: reduction },
  reduce_mean: { operands: ['x'], attrs: { axis: 'int', keep: 'bool' }, infer: reduction },
  reduce_max: { operands: ['x'], attrs: { axis: 'int', keep: 'bool' }, infer: reduction },
  /** Running sums along an axis, each element included in its own. */
  cumsum: {
    operands: ['x'],
    attrs: { axis: 'int' },
    infer: ([x], { axis }) => {
      const fits = (axis as number) >= 0 && (axis as number) < x!.dims.length && x!.dtype !== 'bool';
      return fits ? [x!] : `sums up axis ${axis} of ${formatType(x!)}`;
    },
  },
  softmax: { operands: ['x'], attrs: { axis: 'int' }, infer: unary('float') },
  /** The K largest of the last axis, largest first, and where they are (i64); the lower index wins a tie. */
  top_k: {
    operands: ['x'],
    attrs: { k: 'int' },
    infer: ([x], { k }) => {
      const dims = [...x!.dims.slice(0, -1), k as number];
      return [tensor(x!.dtype, dims), tensor('i64', dims)];
    },
  },
  /** Where the largest of the last axis is: i64; the lowest index wins a tie. */
  arg_max: {
    operands: ['x'],
    attrs: {},
    infer: ([x]) =>
      isFloat(x!.dtype) && x!.dims.length > 0
        ? [tensor('i64', x!.dims.slice(0, -1))]
        : `finds the largest of ${formatType(x!)}`,
  },
} as const satisfies Record<string, OpSpec>;

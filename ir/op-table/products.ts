import type { Dim } from '../dims.ts';
import { isFloat } from '../dtype.ts';
import { broadcastDims, formatType, sameDims, tensor } from '../tensor-type.ts';
import type { OpSpec } from './spec.ts';

/** Products of matrices. */
export const productOps = {
  /** NumPy's matmul over the last two axes; the others broadcast. */
  matmul: {
    operands: ['a', 'b'],
    attrs: {},
    infer: ([a, b]) => {
      if (a!.dtype !== b!.dtype || !isFloat(a!.dtype)) return `multiplies ${formatType(a!)} by ${formatType(b!)}`;
      if (a!.dims.length < 2 || b!.dims.length < 2) return 'needs two axes on either side';
      const [m, k, l, n] = [...a!.dims.slice(-2), ...b!.dims.slice(-2)] as [Dim, Dim, Dim, Dim];
      const batch = broadcastDims(a!.dims.slice(0, -2), b!.dims.slice(0, -2));
      if (!batch || k !== l) return `multiplies ${formatType(a!)} by ${formatType(b!)}`;
      return [tensor(a!.dtype, [...batch, m, n])];
    },
  },
  /**
   * x · weightᵀ + bias, with weight as checkpoints store it: x [.., IN], weight [OUT, IN], bias [OUT] or as large as the
   * result.
   */
  linear: {
    operands: ['x', 'weight', 'bias?'],
    attrs: {},
    infer: ([x, weight, bias]) => {
      if (x!.dtype !== weight!.dtype || !isFloat(x!.dtype))
        return `applies ${formatType(weight!)} to ${formatType(x!)}`;
      if (weight!.dims.length !== 2 || x!.dims.at(-1) !== weight!.dims[1]) {
        return `applies ${formatType(weight!)} to ${formatType(x!)}: the last axes must agree`;
      }
      const dims = [...x!.dims.slice(0, -1), weight!.dims[0]!];
      const fits = !bias || sameDims(bias.dims, dims.slice(-1)) || sameDims(bias.dims, dims);
      if (bias && (bias.dtype !== x!.dtype || !fits)) return `adds a bias ${formatType(bias)} to outputs [${dims}]`;
      return [tensor(x!.dtype, dims)];
    },
  },
  /** A LoRA update, scale · b · (a · x): x [.., IN], a [RANK, IN], b [OUT, RANK], scale []; RANK may be 0. */
  low_rank: {
    operands: ['x', 'a', 'b', 'scale'],
    attrs: {},
    infer: ([x, a, b, scale]) => {
      const dtype = x!.dtype;
      if (a!.dtype !== dtype || b!.dtype !== dtype || scale!.dtype !== dtype) return 'mixes element types';
      if (a!.dims.length !== 2 || b!.dims.length !== 2 || scale!.dims.length !== 0)
        return 'needs two factors and a number';
      if (x!.dims.at(-1) !== a!.dims[1] || a!.dims[0] !== b!.dims[1]) {
        return `applies ${formatType(b!)} · ${formatType(a!)} to ${formatType(x!)}`;
      }
      return [tensor(dtype, [...x!.dims.slice(0, -1), b!.dims[0]!])];
    },
  },
  /**
   * low_rank with factors of the row's own depth, scale[d] · b[d] · (a[d] · x) with d = depth[row]: x [ROWS, .., IN],
   * a [LOOPS, RANK, IN], b [LOOPS, OUT, RANK], scale [LOOPS], depth i64 [ROWS]; RANK may be 0.
   */
  low_rank_by_depth: {
    operands: ['x', 'a', 'b', 'scale', 'depth'],
    attrs: {},
    infer: ([x, a, b, scale, depth]) => {
      const dtype = x!.dtype;
      if (!isFloat(dtype) || a!.dtype !== dtype || b!.dtype !== dtype || scale!.dtype !== dtype)
        return 'mixes element types';
      if (depth!.dtype !== 'i64' || x!.dims.length < 2 || !sameDims(depth!.dims, [x!.dims[0]!]))
        return `finds the depths of ${formatType(x!)} in ${formatType(depth!)}`;
      if (a!.dims.length !== 3 || b!.dims.length !== 3 || scale!.dims.length !== 1)
        return 'needs two factors and a number for each depth';
      const [loops, rank, width] = a!.dims;
      if (b!.dims[0] !== loops || scale!.dims[0] !== loops || b!.dims[2] !== rank || x!.dims.at(-1) !== width)
        return `applies ${formatType(scale!)} · ${formatType(b!)} · ${formatType(a!)} to ${formatType(x!)}`;
      return [tensor(dtype, [...x!.dims.slice(0, -1), b!.dims[1]!])];
    },
  },
} as const satisfies Record<string, OpSpec>;

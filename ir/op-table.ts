import { addDims, type Dim, subtractDims } from './dims.ts';
import { type DType, isFloat } from './dtype.ts';
import { broadcastDims, elementCount, formatType, sameDims, sameType, type TensorType, tensor } from './tensor-type.ts';

/**
 * The kinds of attribute. `dim` may be symbolic; `numbers` holds the elements of a constant.
 * A list of strings is a choice of one of them.
 */
export type AttrKind = 'int' | 'float' | 'bool' | 'ints' | 'numbers' | 'dim' | 'dims' | 'dtype' | readonly string[];

export type AttrValue = number | boolean | string | readonly number[] | readonly Dim[];

/** What one operation is. Builder, printer, parser and verifier read nothing else. */
export interface OpSpec {
  /** In order. `name?` may be left out (only at the end); `name...` stands for any number (only alone or last). */
  readonly operands: readonly string[];
  readonly attrs: Readonly<Record<string, AttrKind>>;
  /** True for the operation that has a body; its types are checked by the verifier, together with the body. */
  readonly body?: true;
  /** The types of the results, or a sentence on what does not fit. */
  readonly infer: (
    operands: readonly TensorType[],
    attrs: Readonly<Record<string, AttrValue>>,
  ) => readonly TensorType[] | string;
}

type Infer = OpSpec['infer'];

/**
 * Every operation of the IR.
 *
 * Axes count from the front and are not negative. Broadcasting is NumPy's. Names in capitals below are dims.
 */
export const opTable = {
  // Numbers and sizes
  /** A small tensor whose elements are in the graph itself, in C order. */
  constant: {
    operands: [],
    attrs: { dtype: 'dtype', dims: 'ints', values: 'numbers' },
    infer: (_, { dtype, dims, values }) => {
      const count = (dims as readonly number[]).reduce((n, d) => n * d, 1);
      const found = (values as readonly number[]).length;
      return count === found
        ? [tensor(dtype as DType, dims as Dim[])]
        : `has ${found} values where its dims hold ${count}`;
    },
  },
  /** i64 []: what a dim turns out to be when the graph runs. */
  size: { operands: [], attrs: { of: 'dim' }, infer: () => [tensor('i64', [])] },
  /** i64 [N]: 0, 1 … N−1. */
  iota: { operands: [], attrs: { size: 'dim' }, infer: (_, { size }) => [tensor('i64', [size as Dim])] },

  // Element by element
  add: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  sub: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  mul: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  div: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  max: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  min: { operands: ['a', 'b'], attrs: {}, infer: binary() },
  neg: { operands: ['x'], attrs: {}, infer: unary('float') },
  exp: { operands: ['x'], attrs: {}, infer: unary('float') },
  log: { operands: ['x'], attrs: {}, infer: unary('float') },
  sqrt: { operands: ['x'], attrs: {}, infer: unary('float') },
  reciprocal: { operands: ['x'], attrs: {}, infer: unary('float') },
  cos: { operands: ['x'], attrs: {}, infer: unary('float') },
  sin: { operands: ['x'], attrs: {}, infer: unary('float') },
  tanh: { operands: ['x'], attrs: {}, infer: unary('float') },
  sigmoid: { operands: ['x'], attrs: {}, infer: unary('float') },
  erf: { operands: ['x'], attrs: {}, infer: unary('float') },
  relu: { operands: ['x'], attrs: {}, infer: unary('float') },
  /** x · sigmoid(x). */
  silu: { operands: ['x'], attrs: {}, infer: unary('float') },
  /** `erf`: x · (1 + erf(x / √2)) / 2. `tanh`: its approximation. `sigmoid`: x · sigmoid(1.702 x), OpenAI's quick GELU. */
  gelu: { operands: ['x'], attrs: { form: ['erf', 'tanh', 'sigmoid'] }, infer: unary('float') },
  /** Rounds to nearest even; floats become integers by truncation, anything but 0 becomes true. */
  cast: { operands: ['x'], attrs: { to: 'dtype' }, infer: ([x], { to }) => [tensor(to as DType, x!.dims)] },

  // Truth
  equal: { operands: ['a', 'b'], attrs: {}, infer: binary('bool') },
  less: { operands: ['a', 'b'], attrs: {}, infer: binary('bool') },
  less_equal: { operands: ['a', 'b'], attrs: {}, infer: binary('bool') },
  and: { operands: ['a', 'b'], attrs: {}, infer: logical },
  or: { operands: ['a', 'b'], attrs: {}, infer: logical },
  not: { operands: ['x'], attrs: {}, infer: unary('bool') },
  where: {
    operands: ['condition', 'a', 'b'],
    attrs: {},
    infer: ([condition, a, b]) => {
      if (condition!.dtype !== 'bool') return `chooses by ${formatType(condition!)}, which is not bool`;
      if (a!.dtype !== b!.dtype) return `chooses between ${formatType(a!)} and ${formatType(b!)}`;
      const both = broadcastDims(a!.dims, b!.dims);
      const dims = both && broadcastDims(condition!.dims, both);
      return dims ? [tensor(a!.dtype, dims)] : cannotBroadcast(condition!, a!, b!);
    },
  },

  // Products
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

  // Shape
  reshape: {
    operands: ['x'],
    attrs: { dims: 'dims' },
    infer: ([x], { dims }) => {
      const [before, after] = [elementCount(x!.dims), elementCount(dims as Dim[])];
      return before === after ? [tensor(x!.dtype, dims as Dim[])] : `makes ${after} elements of ${before}`;
    },
  },
  /** Broadcasts to `dims`. */
  expand: {
    operands: ['x'],
    attrs: { dims: 'dims' },
    infer: ([x], { dims }) => {
      const result = broadcastDims(x!.dims, dims as Dim[]);
      return result && sameDims(result, dims as Dim[])
        ? [tensor(x!.dtype, result)]
        : `cannot expand ${formatType(x!)} to [${dims}]`;
    },
  },
  transpose: {
    operands: ['x'],
    attrs: { perm: 'ints' },
    infer: ([x], { perm }) => {
      const order = perm as readonly number[];
      const sorted = [...order].sort((a, b) => a - b);
      if (order.length !== x!.dims.length || sorted.some((axis, i) => axis !== i))
        return `[${order}] is no order of ${x!.dims.length} axes`;
      return [
        tensor(
          x!.dtype,
          order.map((axis) => x!.dims[axis]!),
        ),
      ];
    },
  },
  concat: {
    operands: ['inputs...'],
    attrs: { axis: 'int' },
    infer: (inputs, { axis }) => {
      const first = inputs[0];
      if (!first) return 'joins nothing';
      const along = axis as number;
      if (along < 0 || along >= first.dims.length) return `joins ${formatType(first)} along axis ${along}`;
      for (const input of inputs) {
        const fits = input.dims.every((dim, i) => i === along || dim === first.dims[i]);
        if (input.dtype !== first.dtype || input.dims.length !== first.dims.length || !fits) {
          return `joins ${formatType(first)} and ${formatType(input)} along axis ${along}`;
        }
      }
      const sum = addDims(...inputs.map((input) => input.dims[along]!));
      return [
        tensor(
          first.dtype,
          first.dims.map((dim, i) => (i === along ? sum : dim)),
        ),
      ];
    },
  },
  /** Joins tensors of one type along a new leading axis. */
  stack: {
    operands: ['inputs...'],
    attrs: {},
    infer: (inputs) => {
      const first = inputs[0];
      if (!first) return 'stacks nothing';
      const odd = inputs.find((input) => input.dtype !== first.dtype || !sameDims(input.dims, first.dims));
      return odd
        ? `stacks ${formatType(first)} and ${formatType(odd)}`
        : [tensor(first.dtype, [inputs.length, ...first.dims])];
    },
  },
  /** Elements `start` to before `end` of one axis. */
  slice: {
    operands: ['x'],
    attrs: { axis: 'int', start: 'dim', end: 'dim' },
    infer: ([x], { axis, start, end }) => {
      const size = subtractDims(end as Dim, start as Dim);
      if ((axis as number) < 0 || (axis as number) >= x!.dims.length) return `slices axis ${axis} of ${formatType(x!)}`;
      if (typeof size === 'number' && size < 0) return `slices from ${start} to ${end}`;
      return [
        tensor(
          x!.dtype,
          x!.dims.map((dim, i) => (i === axis ? size : dim)),
        ),
      ];
    },
  },
  /** An axis cut into pieces of `sizes`, which add up to it. */
  split: {
    operands: ['x'],
    attrs: { axis: 'int', sizes: 'ints' },
    infer: ([x], { axis, sizes }) => {
      const pieces = sizes as readonly number[];
      const total = pieces.reduce((sum, size) => sum + size, 0);
      if (x!.dims[axis as number] !== total || pieces.some((size) => size < 0))
        return `splits axis ${axis} of ${formatType(x!)} into [${pieces}]`;
      return pieces.map((size) =>
        tensor(
          x!.dtype,
          x!.dims.map((dim, i) => (i === axis ? size : dim)),
        ),
      );
    },
  },
  /** One element of an axis; the axis goes. */
  select: {
    operands: ['x'],
    attrs: { axis: 'int', index: 'int' },
    infer: ([x], { axis, index }) => {
      const size = x!.dims[axis as number];
      if (size === undefined) return `selects from axis ${axis} of ${formatType(x!)}`;
      if (typeof size === 'number' && (index as number) >= size) return `selects element ${index} of ${size}`;
      return [
        tensor(
          x!.dtype,
          x!.dims.filter((_, i) => i !== axis),
        ),
      ];
    },
  },
  /** Entries of one axis by number: x [.., N, ..], indices i64 of any shape, whose axes take the place of N. */
  gather: {
    operands: ['x', 'indices'],
    attrs: { axis: 'int' },
    infer: ([x, indices], { axis }) => {
      if (indices!.dtype !== 'i64') return `looks up by ${formatType(indices!)}, which is not i64`;
      if ((axis as number) < 0 || (axis as number) >= x!.dims.length)
        return `looks up along axis ${axis} of ${formatType(x!)}`;
      const dims = [...x!.dims.slice(0, axis as number), ...indices!.dims, ...x!.dims.slice((axis as number) + 1)];
      return [tensor(x!.dtype, dims)];
    },
  },

  // Along an axis
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

  // Transformers
  /** x / sqrt(mean(x²) + epsilon) · scale over the last axis; scale [N]. */
  rms_norm: { operands: ['x', 'scale'], attrs: { epsilon: 'float' }, infer: normalization },
  /** rms_norm of x + skip, and x + skip itself: what a residual stream needs at every norm. */
  add_rms_norm: {
    operands: ['x', 'skip', 'scale'],
    attrs: { epsilon: 'float' },
    infer: ([x, skip, scale]) => {
      if (!sameType(x!, skip!)) return `adds ${formatType(skip!)} to ${formatType(x!)}`;
      const normed = normalization([x!, scale!]);
      return typeof normed === 'string' ? normed : [x!, x!];
    },
  },
  /** (x − mean) / sqrt(variance + epsilon) · scale + bias over the last axis; scale, bias [N]. */
  layer_norm: { operands: ['x', 'scale', 'bias'], attrs: { epsilon: 'float' }, infer: normalization },
  /**
   * Rotates the first 2·R dimensions of each head, half against half (Hugging Face's order); the rest pass.
   * x [BATCH, HEADS, SEQUENCE, HEAD_DIM], cos and sin [BATCH, SEQUENCE, R].
   */
  rotary: {
    operands: ['x', 'cos', 'sin'],
    attrs: {},
    infer: ([x, cos, sin]) => {
      const [batch, , sequence, width] = x!.dims;
      const rotated = cos!.dims[2];
      if (x!.dims.length !== 4 || cos!.dims.length !== 3) return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      if (cos!.dtype !== x!.dtype || sin!.dtype !== x!.dtype || !sameDims(cos!.dims, sin!.dims)) {
        return `rotates ${formatType(x!)} by ${formatType(cos!)} and ${formatType(sin!)}`;
      }
      const fits = typeof rotated === 'number' && typeof width === 'number' && 2 * rotated <= width;
      if (cos!.dims[0] !== batch || cos!.dims[1] !== sequence || !fits)
        return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      return [x!];
    },
  },
  /**
   * As rotary, with cos and sin in the rows of tables: x [BATCH, HEADS, SEQUENCE, HEAD_DIM], cos and sin [N, R],
   * rows i64 [BATCH, SEQUENCE], where each position finds its own.
   */
  rotary_lookup: {
    operands: ['x', 'cos', 'sin', 'rows'],
    attrs: {},
    infer: ([x, cos, sin, rows]) => {
      const [batch, , sequence, width] = x!.dims;
      const rotated = cos!.dims[1];
      if (x!.dims.length !== 4 || cos!.dims.length !== 2) return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      if (cos!.dtype !== x!.dtype || !sameType(cos!, sin!)) {
        return `rotates ${formatType(x!)} by ${formatType(cos!)} and ${formatType(sin!)}`;
      }
      if (typeof rotated !== 'number' || typeof width !== 'number' || 2 * rotated > width)
        return `rotates ${formatType(x!)} by ${formatType(cos!)}`;
      const fits = rows!.dtype === 'i64' && sameDims(rows!.dims, [batch!, sequence!]);
      return fits ? [x!] : `finds the rows for ${formatType(x!)} by ${formatType(rows!)}`;
    },
  },
  /**
   * softmax(scale · q · kᵀ) · v, each KV head serving HEADS / KV_HEADS query heads in a row.
   * q [BATCH, HEADS, SEQUENCE, D], k [BATCH, KV_HEADS, TOTAL, D], v [BATCH, KV_HEADS, TOTAL, E],
   * mask bool [BATCH, 1, SEQUENCE, TOTAL], true where a query sees a key. A query that sees none sees all alike.
   */
  attention: {
    operands: ['q', 'k', 'v', 'mask'],
    attrs: { scale: 'float' },
    infer: ([q, k, v, mask]) => {
      const [batch, heads, sequence, width] = q!.dims;
      const [kBatch, kvHeads, total, kWidth] = k!.dims;
      if (q!.dims.length !== 4 || k!.dims.length !== 4 || v!.dims.length !== 4) return 'needs four axes on q, k and v';
      if (q!.dtype !== k!.dtype || q!.dtype !== v!.dtype || mask!.dtype !== 'bool') return 'mixes element types';
      if (batch !== kBatch || width !== kWidth) return `attends from ${formatType(q!)} to ${formatType(k!)}`;
      if (!sameDims(k!.dims.slice(0, 3), v!.dims.slice(0, 3)))
        return `has keys ${formatType(k!)} but values ${formatType(v!)}`;
      if (!sameDims(mask!.dims, [batch!, 1, sequence!, total!])) return `is masked by ${formatType(mask!)}`;
      if (typeof heads !== 'number' || typeof kvHeads !== 'number' || heads % kvHeads !== 0) {
        return `has ${heads} query heads for ${kvHeads} KV heads`;
      }
      return [tensor(q!.dtype, [batch!, heads, sequence!, v!.dims[3]!])];
    },
  },

  // Control
  /**
   * Runs its body for depth 0, 1 … `loops`−1.
   * Operands: `carried` initial values, then `each` stacked values [loops, ..] of which every depth gets its own entry,
   * then, if `limited`, the number of depths to run, an i64 [] clamped to 1 … loops.
   * Body: parameters are the depth (i64 []), the carried values, the entries of this depth; it may use outer values.
   * It returns, if `stops`, a bool [] (true: this depth was the last), then the carried values, then those to collect.
   * Results: the carried values of the last depth, then every collected value stacked [loops, ..]; depths that did not
   * run repeat the last that did.
   */
  loop: {
    operands: ['inputs...'],
    attrs: { loops: 'int', carried: 'int', each: 'int', limited: 'bool', stops: 'bool' },
    body: true,
    infer: () => 'is checked together with its body',
  },
} as const satisfies Record<string, OpSpec>;

export type OpKind = keyof typeof opTable;

export function isOpKind(name: string): name is OpKind {
  return Object.hasOwn(opTable, name);
}

function unary(domain: 'float' | 'bool'): Infer {
  return ([x]) => {
    const fits = domain === 'bool' ? x!.dtype === 'bool' : isFloat(x!.dtype);
    return fits ? [x!] : `takes ${domain === 'bool' ? 'bool' : 'a float type'}, not ${formatType(x!)}`;
  };
}

function binary(result?: DType): Infer {
  return ([a, b]) => {
    if (a!.dtype !== b!.dtype || a!.dtype === 'bool') return `combines ${formatType(a!)} and ${formatType(b!)}`;
    const dims = broadcastDims(a!.dims, b!.dims);
    return dims ? [tensor(result ?? a!.dtype, dims)] : cannotBroadcast(a!, b!);
  };
}

function logical([a, b]: readonly TensorType[]): readonly TensorType[] | string {
  if (a!.dtype !== 'bool' || b!.dtype !== 'bool')
    return `combines ${formatType(a!)} and ${formatType(b!)}, which are not both bool`;
  const dims = broadcastDims(a!.dims, b!.dims);
  return dims ? [tensor('bool', dims)] : cannotBroadcast(a!, b!);
}

function reduction(
  [x]: readonly TensorType[],
  { axis, keep }: Readonly<Record<string, AttrValue>>,
): readonly TensorType[] | string {
  if ((axis as number) < 0 || (axis as number) >= x!.dims.length) return `reduces axis ${axis} of ${formatType(x!)}`;
  if (x!.dtype === 'bool') return 'reduces numbers, not bool';
  return [
    tensor(x!.dtype, keep ? x!.dims.map((dim, i) => (i === axis ? 1 : dim)) : x!.dims.filter((_, i) => i !== axis)),
  ];
}

function normalization([x, ...vectors]: readonly TensorType[]): readonly TensorType[] | string {
  if (!isFloat(x!.dtype)) return `normalizes ${formatType(x!)}`;
  const odd = vectors.find((v) => v.dtype !== x!.dtype || !sameDims(v.dims, [x!.dims.at(-1)!]));
  return odd ? `scales ${formatType(x!)} by ${formatType(odd)}` : [x!];
}

function cannotBroadcast(...types: readonly TensorType[]): string {
  return `cannot broadcast ${types.map(formatType).join(' and ')}`;
}

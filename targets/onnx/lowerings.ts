import type { Dim } from '../../ir/dims.ts';
import type { DType } from '../../ir/dtype.ts';
import type { Op, OpOf, Value } from '../../ir/graph.ts';
import { InvariantError, invariant } from '../../ir/invariant.ts';
import type { OpKind } from '../../ir/op-table.ts';
import { sameDims } from '../../ir/tensor-type.ts';
import type { DialectSpec } from './dialects.ts';
import { lowerAttention } from './lower-attention.ts';
import { lowerLoop } from './lower-loop.ts';
import { addCast, castTo, float, int, ints, type OnnxWriter, string } from './onnx-writer.ts';

/** What a lowering has to work with. */
export interface LoweringContext {
  /** What the graph is to be made of. */
  readonly spec: DialectSpec;
  readonly writer: OnnxWriter;
  /** The ONNX name of an operation's result, an input, or a weight, which comes into the model by this. */
  readonly name: (value: Value) => string;
  /** See OnnxWeights. */
  readonly beforeCast: (value: Value) => { readonly name: string; readonly to: DType } | undefined;
  /** The name of a mask as numbers to add, which `build` makes once for all that attend under it. */
  readonly biasOf: (mask: Value, build: () => string) => string;
  /** Lowers the operations of a loop's body. */
  readonly lower: (ops: readonly Op[]) => void;
}

export type Lowering<K extends OpKind> = (op: OpOf<K>, context: LoweringContext) => void;

/** How each operation of the IR is said in ONNX. */
export const lowerings: { readonly [K in OpKind]: Lowering<K> } = {
  constant: ({ attrs, results }, { writer }) => {
    writer.bind(results[0]!, writer.constant(attrs.dtype, attrs.dims, attrs.values));
  },
  size: ({ attrs, results }, { writer }) => writer.bind(results[0]!, writer.scalarSize(attrs.of)),
  iota: ({ attrs, results }, { writer }) => {
    const [from, step] = [writer.constant('i64', [], [0]), writer.constant('i64', [], [1])];
    writer.define('Range', [from, writer.scalarSize(attrs.size), step], results);
  },

  add: plain('Add'),
  sub: plain('Sub'),
  mul: ({ operands, results }, { writer, name }) => {
    const [a, b] = [name(operands[0]!), name(operands[1]!)];
    // The same number, and what ONNX Runtime looks for to find an RMS norm in its parts.
    if (a === b) writer.define('Pow', [a, writer.constant(results[0]!.type.dtype, [], [2])], results);
    else writer.define('Mul', [a, b], results);
  },
  div: plain('Div'),
  max: plain('Max'),
  min: plain('Min'),
  neg: plain('Neg'),
  exp: plain('Exp'),
  log: plain('Log'),
  sqrt: plain('Sqrt'),
  reciprocal: plain('Reciprocal'),
  cos: plain('Cos'),
  sin: plain('Sin'),
  tanh: plain('Tanh'),
  sigmoid: plain('Sigmoid'),
  erf: plain('Erf'),
  relu: plain('Relu'),
  silu: ({ operands, results }, { writer, name }) => {
    const x = name(operands[0]!);
    writer.define('Mul', [x, writer.add('Sigmoid', [x])], results);
  },
  gelu: ({ operands, attrs, results }, { writer, name }) => {
    const x = name(operands[0]!);
    if (attrs.form !== 'sigmoid') {
      const approximate = string(attrs.form === 'tanh' ? 'tanh' : 'none');
      writer.define('Gelu', [x], results, { attributes: { approximate } });
      return;
    }
    const scaled = writer.add('Mul', [x, writer.constant(results[0]!.type.dtype, [], [1.702])]);
    writer.define('Mul', [x, writer.add('Sigmoid', [scaled])], results);
  },
  cast: ({ operands, attrs, results }, { writer, name }) => {
    writer.define('Cast', [name(operands[0]!)], results, castTo(attrs.to));
  },

  equal: plain('Equal'),
  less: plain('Less'),
  less_equal: plain('LessOrEqual'),
  and: plain('And'),
  or: plain('Or'),
  not: plain('Not'),
  where: plain('Where'),

  matmul: plain('MatMul'),
  linear: ({ operands, results }, { writer, name }) => {
    invariant(operands[0]!.type.dims.length === 2, 'flatten-rows left a product that is not of matrices');
    writer.define('Gemm', operands.map(name), results, { attributes: { transB: int(1) } });
  },
  low_rank: takenApart,
  low_rank_by_depth: takenApart,

  reshape: ({ operands, attrs, results }, { writer, name }) => {
    const added = addedAxes(operands[0]!.type.dims, attrs.dims);
    if (added) {
      writer.define('Unsqueeze', [name(operands[0]!), writer.constant('i64', [added.length], added)], results);
      return;
    }
    const { shape, allowZero } = reshapeTo(writer, operands[0]!.type.dims, attrs.dims);
    const options = allowZero ? { attributes: { allowzero: int(1) } } : {};
    writer.define('Reshape', [name(operands[0]!), shape], results, options);
  },
  expand: ({ operands, attrs, results }, { writer, name }) => {
    writer.define('Expand', [name(operands[0]!), writer.sizes(attrs.dims)], results);
  },
  transpose: ({ operands, attrs, results }, { writer, name }) => {
    writer.define('Transpose', [name(operands[0]!)], results, { attributes: { perm: ints(attrs.perm) } });
  },
  concat: ({ operands, attrs, results }, { writer, name }) => {
    writer.define('Concat', operands.map(name), results, { attributes: { axis: int(attrs.axis) } });
  },
  stack: ({ operands, results }, { writer, name }) => {
    const first = writer.constant('i64', [1], [0]);
    const rows = operands.map((operand) => writer.add('Unsqueeze', [name(operand), first]));
    writer.define('Concat', rows, results, { attributes: { axis: int(0) } });
  },
  slice: ({ operands, attrs, results }, { writer, name }) => {
    const axes = writer.constant('i64', [1], [attrs.axis]);
    writer.define('Slice', [name(operands[0]!), writer.size(attrs.start), writer.size(attrs.end), axes], results);
  },
  split: ({ operands, attrs, results }, { writer, name }) => {
    writer.define('Split', [name(operands[0]!), writer.sizes(attrs.sizes)], results, {
      attributes: { axis: int(attrs.axis) },
    });
  },
  select: ({ operands, attrs, results }, { writer, name }) => {
    const index = writer.constant('i64', [], [attrs.index]);
    writer.define('Gather', [name(operands[0]!), index], results, { attributes: { axis: int(attrs.axis) } });
  },
  gather: ({ operands: [x, indices], attrs, results }, { writer, name, beforeCast }) => {
    const options = { attributes: { axis: int(attrs.axis) } };
    const raw = beforeCast(x!);
    if (!raw) {
      writer.define('Gather', [name(x!), name(indices!)], results, options);
      return;
    }
    const rows = writer.add('Gather', [raw.name, name(indices!)], options);
    writer.define('Cast', [rows], results, castTo(raw.to));
  },
  put_rows: ({ operands: [x, indices, updates], results }, { writer, name }) => {
    const places = writer.add('Unsqueeze', [name(indices!), writer.constant('i64', [1], [1])]);
    writer.define('ScatterND', [name(x!), places, name(updates!)], results);
  },

  reduce_sum: reduction('ReduceSum'),
  reduce_mean: reduction('ReduceMean'),
  reduce_max: reduction('ReduceMax'),
  cumsum: ({ operands, attrs, results }, { spec, writer, name }) => {
    const x = name(operands[0]!);
    const axis = writer.constant('i64', [], [attrs.axis]);
    const { dtype } = results[0]!.type;
    if (dtype === 'f32') {
      writer.define('CumSum', [x, axis], results);
      return;
    }
    // TensorRT sums floats only, and ONNX Runtime no 16-bit ones.
    const wide = dtype === 'i64' || dtype === 'f64' ? spec.sumsIntegersIn : 'f32';
    const sums = writer.add('CumSum', [addCast(writer, x, wide), axis]);
    writer.define('Cast', [sums], results, castTo(dtype));
  },
  softmax: ({ operands, attrs, results }, { writer, name }) => {
    writer.define('Softmax', [name(operands[0]!)], results, { attributes: { axis: int(attrs.axis) } });
  },
  top_k: ({ operands, attrs, results }, { writer, name }) => {
    writer.define('TopK', [name(operands[0]!), writer.constant('i64', [1], [attrs.k])], results);
  },
  arg_max: ({ operands, results }, { spec, writer, name }) => {
    const attributes = { axis: int(-1), keepdims: int(0), select_last_index: int(0) };
    if (!spec.mayBeEmpty) {
      writer.define('ArgMax', [name(operands[0]!)], results, { attributes });
      return;
    }
    const found = writer.add('ArgMax', [name(operands[0]!)], { attributes });
    // ONNX Runtime leaves the axis where another one is empty.
    writer.define('Reshape', [found, writer.sizes(results[0]!.type.dims)], results, {
      attributes: { allowzero: int(1) },
    });
  },

  rms_norm: takenApart,
  add_rms_norm: ({ operands: [x, skip, scale], attrs, results: [normed, sum] }, { writer, name }) => {
    const options = { domain: 'com.microsoft', attributes: { epsilon: float(attrs.epsilon) } };
    const inputs = [name(x!), name(skip!), name(scale!)];
    writer.define('SkipSimplifiedLayerNormalization', inputs, [normed, undefined, undefined, sum], options);
  },
  layer_norm: ({ operands, attrs, results }, { writer, name }) => {
    const attributes = { axis: int(-1), epsilon: float(attrs.epsilon) };
    writer.define('LayerNormalization', operands.map(name), results, { attributes });
  },
  rotary: takenApart,
  rotary_lookup: ({ operands: [x, cos, sin, rows], results }, { writer, name }) => {
    const [, heads, , width] = x!.type.dims as readonly number[];
    const rotated = 2 * (cos!.type.dims[1] as number);
    const part = rotated < width! ? { num_heads: int(heads!), rotary_embedding_dim: int(rotated) } : {};
    const options = { domain: 'com.microsoft', attributes: part };
    writer.define('RotaryEmbedding', [name(x!), name(rows!), name(cos!), name(sin!)], results, options);
  },
  attention: lowerAttention,
  paged_attention: takenApart,

  loop: lowerLoop,
};

/** An operation that ONNX has under another name. */
function plain(opType: string) {
  return ({ operands, results }: Pick<Op, 'operands' | 'results'>, { writer, name }: LoweringContext): void =>
    writer.define(opType, operands.map(name), results);
}

function reduction(opType: string): Lowering<'reduce_sum' | 'reduce_mean' | 'reduce_max'> {
  return ({ operands, attrs, results }, { writer, name }) => {
    const axes = writer.constant('i64', [1], [attrs.axis]);
    writer.define(opType, [name(operands[0]!), axes], results, { attributes: { keepdims: int(attrs.keep ? 1 : 0) } });
  };
}

/** For operations that the pass take-apart leaves in no graph of this target. */
function takenApart({ kind }: Op): never {
  throw new InvariantError(`${kind} came to the ONNX target whole`);
}

/**
 * The axes of size 1 that a reshape adds, where it adds those and nothing else, and Reshape would have to be told sizes
 * that are known only when the graph runs.
 */
function addedAxes(from: readonly Dim[], to: readonly Dim[]): readonly number[] | undefined {
  const added: number[] = [];
  to.forEach((dim, axis) => {
    if (dim === 1 && from[axis - added.length] !== 1) added.push(axis);
  });
  const rest = to.filter((_, axis) => !added.includes(axis));
  return added.length > 0 && sameDims(rest, from) && from.some((dim) => typeof dim === 'string') ? added : undefined;
}

/**
 * The second input of a Reshape. Where an axis stays in its place, 0 copies its size; with everything else a number,
 * that costs nothing to compute. -1 only stands where no other size can be zero, for then it has no answer. Else the
 * shape is put together from sizes, once for the whole graph, and a zero in it is a zero.
 */
function reshapeTo(
  writer: OnnxWriter,
  from: readonly Dim[],
  to: readonly Dim[],
): { readonly shape: string; readonly allowZero: boolean } {
  const numbers = to.map((dim, axis) => {
    if (typeof dim === 'number') return dim === 0 ? undefined : dim;
    return dim === from[axis] ? 0 : undefined;
  });
  const open = numbers.flatMap((n, axis) => (n === undefined ? [axis] : []));
  const fixed = (n: number | undefined): n is number => n !== undefined;
  if (numbers.every(fixed)) return { shape: writer.constant('i64', [to.length], numbers), allowZero: false };
  if (open.length === 1 && typeof to[open[0]!] === 'string' && !numbers.includes(0)) {
    const shape = numbers.map((n) => n ?? -1);
    return { shape: writer.constant('i64', [to.length], shape), allowZero: false };
  }
  return { shape: writer.sizes(to), allowZero: true };
}

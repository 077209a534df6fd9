import type { GraphBuilder } from '../ir/builder.ts';
import { type Dim, multiplyDims } from '../ir/dims.ts';
import type { Op, Value } from '../ir/graph.ts';
import type { OpKind } from '../ir/op-table.ts';
import { rewriteGraph } from '../ir/rewrite.ts';
import { sameDims, tensor } from '../ir/tensor-type.ts';
import type { StablePass } from './pass.ts';

/**
 * Makes matrices of what products work on.
 *
 * Given: `linear(x, W)` with x [batch, sequence, N], and what is done to such values row by row: element by element,
 * with vectors over the last axis, norms and sums along it, cut and joined along it.
 * Result: the same on [batch*sequence, N], with a reshape in front of and behind each run of such operations. A target
 * that multiplies matrices only (ONNX's Gemm, which takes weights as they lie in the checkpoint) needs no more.
 * A matrix that was given more axes is taken as it was.
 * Leaves to cse and remove-dead-code: reshapes that come twice, and those behind, where nobody wants the axes back.
 */
export const flattenRows: StablePass = {
  name: 'flatten-rows',
  numerics: 'exact',
  changesInterface: false,
  run(graph) {
    // Of values that were made as a matrix and reshaped back: the matrix.
    const matrices = new Map<Value, Value>();
    return rewriteGraph(graph, graph.stage, (op, { builder, operands }) => {
      if (op.kind === 'reshape') {
        const matrix = matrices.get(operands[0]!);
        const x = matrix ?? operands[0]!;
        const result = builder.add('reshape', [x], op.attrs, op.results[0]!.name);
        if (hasRows(result) && sameDims(x.type.dims, flatDims(op.attrs.dims))) matrices.set(result, x);
        return [result];
      }
      if (!worksOnRows(op)) return undefined;
      // Products become products of matrices; everything else follows where a matrix is there already.
      if (op.kind !== 'linear' && !operands.some((operand) => matrices.has(operand))) return undefined;
      const inner = operands.map((operand) => (hasRows(operand) ? matrixOf(operand, matrices, builder) : operand));
      return addFlat(op, inner, builder).map((matrix, i) => {
        const { name, type } = op.results[i]!;
        const back = builder.add('reshape', [matrix], { dims: type.dims }, name);
        matrices.set(back, matrix);
        return back;
      });
    });
  },
};

const elementwise: ReadonlySet<OpKind> = new Set<OpKind>([
  ...(['add', 'sub', 'mul', 'div', 'max', 'min', 'neg', 'exp', 'log', 'sqrt', 'reciprocal'] as const),
  ...(['cos', 'sin', 'tanh', 'sigmoid', 'erf', 'relu', 'silu', 'gelu', 'cast'] as const),
  ...(['equal', 'less', 'less_equal', 'and', 'or', 'not', 'where'] as const),
]);
const alongLastAxis: ReadonlySet<OpKind> = new Set<OpKind>(['reduce_sum', 'reduce_mean', 'reduce_max', 'softmax']);
const norms: ReadonlySet<OpKind> = new Set<OpKind>(['rms_norm', 'add_rms_norm', 'layer_norm']);

/** True when a row of the result depends on the same row of the operands alone, and on vectors and numbers. */
function worksOnRows(op: Op): boolean {
  const { dims } = op.results[0]!.type;
  if (dims.length < 3) return false;
  if (op.kind === 'linear' || norms.has(op.kind)) return true;
  if (alongLastAxis.has(op.kind)) {
    const { axis, keep = true } = op.attrs as { readonly axis: number; readonly keep?: boolean };
    return keep && axis === dims.length - 1;
  }
  if (op.kind === 'split' || op.kind === 'concat') return op.attrs.axis === dims.length - 1;
  const fits = ({ type }: Value): boolean =>
    type.dims.length < 2 || (type.dims.length === dims.length && sameDims(type.dims.slice(0, -1), dims.slice(0, -1)));
  return elementwise.has(op.kind) && op.operands.every(fits);
}

function hasRows({ type }: Value): boolean {
  return type.dims.length > 2;
}

function matrixOf(value: Value, matrices: ReadonlyMap<Value, Value>, builder: GraphBuilder): Value {
  return (
    matrices.get(value) ?? builder.add('reshape', [value], { dims: flatDims(value.type.dims) }, `${value.name}.rows`)
  );
}

/** `op` on matrices. */
function addFlat(op: Op, operands: readonly Value[], builder: GraphBuilder): readonly Value[] {
  const attrs = 'axis' in op.attrs ? { ...op.attrs, axis: 1 } : op.attrs;
  const results = op.results.map(({ name, type }) => ({
    name: builder.freshName(`${name}.rows`),
    type: tensor(type.dtype, flatDims(type.dims)),
  }));
  builder.adopt({ ...op, operands, attrs, results } as Op);
  return results;
}

function flatDims(dims: readonly Dim[]): readonly Dim[] {
  return [multiplyDims(1, ...dims.slice(0, -1)), dims.at(-1)!];
}

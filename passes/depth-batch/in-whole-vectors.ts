import type { GraphBuilder } from '../../ir/builder.ts';
import type { OpOf, Value } from '../../ir/graph.ts';

/** Numbers of a row that fill vector registers of any width that processors have, in float32. */
const lanes = 16;

/**
 * A cosine or sine of `x` [.., n], computed on rows that are repeated until they fill whole vectors.
 * Given   x: f32[rows, tokens, 2]
 * Result  its cosine, of x repeated 8 times, then cut to 2
 * ONNX Runtime takes one polynomial for whole vectors and the C library for what is left over at the end, and they
 * differ in the last bit: a row's bits would depend on how many rows there are. (Its other functions do not.)
 */
export function inWholeVectors(builder: GraphBuilder, op: OpOf<'cos'> | OpOf<'sin'>, x: Value): Value {
  const name = op.results[0]!.name;
  const axis = x.type.dims.length - 1;
  const n = x.type.dims[axis];
  if (typeof n !== 'number' || n === 0) return builder.add(op.kind, [x], {}, name);
  const times = Array.from({ length: lanes }, (_, i) => i + 1).find((i) => (n * i) % lanes === 0)!;
  if (times === 1) return builder.add(op.kind, [x], {}, name);
  const wide = builder.add('concat', new Array<Value>(times).fill(x), { axis }, `${name}.repeated`);
  const computed = builder.add(op.kind, [wide], {}, `${name}.repeated`);
  return builder.add('slice', [computed], { axis, start: 0, end: n }, name);
}

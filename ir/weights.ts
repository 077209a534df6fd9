import type { DType, FloatDType } from './dtype.ts';
import { invariant } from './invariant.ts';

/**
 * Where a weight's numbers are and what happens to them on the way into the graph.
 * Nothing is read until somebody asks, and a target that can point at `file` bytes never asks.
 */
export type WeightExpr =
  | FileWeight
  | LiteralWeight
  | { readonly kind: 'cast'; readonly of: WeightExpr; readonly to: FloatDType }
  | { readonly kind: 'transpose'; readonly of: WeightExpr; readonly perm: readonly number[] }
  /** Adds a number to every element: Gemma's norms store w and mean 1 + w. */
  | { readonly kind: 'offset'; readonly of: WeightExpr; readonly by: number }
  | { readonly kind: 'concat'; readonly axis: number; readonly of: readonly WeightExpr[] }
  /** A new leading axis. Parts smaller than the largest are filled with zeros at the end of each axis. */
  | { readonly kind: 'stack'; readonly of: readonly WeightExpr[] }
  /** base + scale · (b · a), computed in float64 and rounded once to the type of `base`; a is [rank, in], b [out, rank]. */
  | {
      readonly kind: 'merge';
      readonly base: WeightExpr;
      readonly a: WeightExpr;
      readonly b: WeightExpr;
      readonly scale: number;
    };

/** A run of bytes in a file, in C order. */
export interface FileWeight {
  readonly kind: 'file';
  /** Relative to the model's folder. */
  readonly file: string;
  /** The tensor's name in that file. */
  readonly tensor: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
  /** In bytes, from the start of the file. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

/** A few numbers that rtc itself knows, in C order: inverse frequencies, scales. Already rounded to `dtype`. */
export interface LiteralWeight {
  readonly kind: 'literal';
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

/** A tensor type without names in it: all dims of a weight are numbers. */
export interface WeightType {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/** The type of the tensor that an expression stands for. */
export function weightType(expr: WeightExpr): WeightType {
  switch (expr.kind) {
    case 'file':
    case 'literal':
      return { dtype: expr.dtype, dims: expr.dims };
    case 'cast':
      return { dtype: expr.to, dims: weightType(expr.of).dims };
    case 'transpose': {
      const { dtype, dims } = weightType(expr.of);
      return { dtype, dims: expr.perm.map((axis) => dims[axis]!) };
    }
    case 'offset':
      return weightType(expr.of);
    case 'merge':
      return weightType(expr.base);
    case 'concat': {
      const parts = expr.of.map(weightType);
      const first = parts[0];
      invariant(first, 'a concatenation of no weights');
      const along = parts.reduce((sum, part) => sum + part.dims[expr.axis]!, 0);
      return { dtype: first.dtype, dims: first.dims.map((dim, axis) => (axis === expr.axis ? along : dim)) };
    }
    case 'stack': {
      const parts = expr.of.map(weightType);
      const first = parts[0];
      invariant(first, 'a stack of no weights');
      const largest = first.dims.map((_, axis) => Math.max(...parts.map((part) => part.dims[axis]!)));
      return { dtype: first.dtype, dims: [parts.length, ...largest] };
    }
  }
}

/** The files' tensors that an expression reads, in the order in which it names them. */
export function fileWeights(expr: WeightExpr): readonly FileWeight[] {
  switch (expr.kind) {
    case 'file':
      return [expr];
    case 'literal':
      return [];
    case 'cast':
    case 'transpose':
    case 'offset':
      return fileWeights(expr.of);
    case 'concat':
    case 'stack':
      return expr.of.flatMap(fileWeights);
    case 'merge':
      return [expr.base, expr.a, expr.b].flatMap(fileWeights);
  }
}

/** Text that is equal exactly when two expressions are: the key under which a weight is stored once. */
export function weightKey(expr: WeightExpr): string {
  switch (expr.kind) {
    case 'file':
      return `${expr.file}@${expr.offset}+${expr.length}:${expr.dtype}[${expr.dims}]`;
    case 'literal':
      return `${expr.dtype}[${expr.dims}]{${expr.values.map((v) => (Object.is(v, -0) ? '-0' : v))}}`;
    case 'cast':
      return `cast<${expr.to}>(${weightKey(expr.of)})`;
    case 'transpose':
      return `transpose<${expr.perm}>(${weightKey(expr.of)})`;
    case 'offset':
      return `offset<${expr.by}>(${weightKey(expr.of)})`;
    case 'concat':
      return `concat<${expr.axis}>(${expr.of.map(weightKey).join(';')})`;
    case 'stack':
      return `stack(${expr.of.map(weightKey).join(';')})`;
    case 'merge':
      return `merge<${expr.scale}>(${[expr.base, expr.a, expr.b].map(weightKey).join(';')})`;
  }
}

/** A literal weight from numbers; scalars have no dims. */
export function literal(dtype: DType, dims: readonly number[], values: readonly number[]): LiteralWeight {
  const count = dims.reduce((product, dim) => product * dim, 1);
  invariant(values.length === count, `a literal of ${count} elements with ${values.length} values`);
  return { kind: 'literal', dtype, dims, values };
}

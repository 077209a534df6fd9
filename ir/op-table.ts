import { alongAxisOps } from './op-table/along-axis.ts';
import { elementwiseOps } from './op-table/elementwise.ts';
import { productOps } from './op-table/products.ts';
import { shapeOps } from './op-table/shape.ts';
import type { OpSpec } from './op-table/spec.ts';
import { transformerOps } from './op-table/transformers.ts';

export type { AttrKind, AttrValue, OpSpec } from './op-table/spec.ts';

/**
 * Every operation of the IR, by family.
 *
 * Axes count from the front and are not negative. Broadcasting is NumPy's. Names in capitals are dims.
 */
export const opTable = {
  ...shapeOps,
  ...elementwiseOps,
  ...productOps,
  ...alongAxisOps,
  ...transformerOps,

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

import { sameType } from '../../ir/tensor-type.ts';
import type { Each } from './body.ts';
import type { Flow } from './flow.ts';
import { type Miss, weightMiss } from './miss.ts';

/** Weights, constants or inputs of their own for every depth; undefined when the values are not that. */
export function leafOf(flow: Flow, values: readonly number[], factor: boolean): Each | Miss | undefined {
  const types = values.map((value) => flow.values[value]!.type);
  const differs = types.findIndex((type, depth) => !sameType(type, types[Math.max(depth - 1, 0)]!));
  if (values.every((value) => flow.weights.has(value))) {
    if (factor) {
      const fits = types.every((type) => type.dtype === types[0]!.dtype);
      return fits ? { kind: 'factors', values } : weightMiss(flow, values, differs);
    }
    if (differs >= 0) return weightMiss(flow, values, differs);
    // Stacking a matrix that some depths share would store it more than once: these depths are the loop, not all.
    const matrix = types[0]!.dims.filter((dim) => dim !== 1).length >= 2;
    if (matrix && new Set(values).size < values.length) {
      const depth = values.findIndex((value, d) => d > 0 && value !== values[d - 1]);
      return weightMiss(flow, values, depth);
    }
    return { kind: 'weights', values };
  }
  if (differs >= 0) return undefined;
  const makers = values.map((value) => flow.ops[flow.maker[value]!]);
  if (makers.every((maker) => maker?.op.kind === 'constant')) return { kind: 'constants', values };
  if (values.every((value) => flow.maker[value] === -1 && !flow.weights.has(value))) {
    return new Set(values).size === values.length ? { kind: 'mixed', values } : undefined;
  }
  const source = makers[0]?.operands[0];
  const entries = makers.every(
    (maker, depth) =>
      maker?.op.kind === 'select' &&
      maker.op.attrs.axis === 0 &&
      maker.op.attrs.index === depth &&
      maker.operands[0] === source,
  );
  if (entries && flow.values[source!]!.type.dims[0] === values.length) return { kind: 'entries', values };
  return undefined;
}

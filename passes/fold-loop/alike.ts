import { sameType } from '../../ir/tensor-type.ts';
import type { Flow } from './flow.ts';

/** Whether two values are the same result of operations of equal kind and attributes, and of one type. */
export function sameMaker(flow: Flow, a: number, b: number): boolean {
  const [left, right] = [flow.ops[flow.maker[a]!], flow.ops[flow.maker[b]!]];
  if (!left || !right || left.shape !== right.shape || left.operands.length !== right.operands.length) return false;
  return resultIndex(flow, a) === resultIndex(flow, b) && sameType(flow.values[a]!.type, flow.values[b]!.type);
}

/** Whether all values have one type. */
export function sameTypes(flow: Flow, values: readonly number[]): boolean {
  const types = values.map((value) => flow.values[value]!.type);
  return types.every((type) => sameType(type, types[0]!));
}

/** Which result of the operation that makes it a value is. */
export function resultIndex(flow: Flow, value: number): number {
  return flow.ops[flow.maker[value]!]!.results.indexOf(value);
}

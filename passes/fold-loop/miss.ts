import { formatType } from '../../ir/tensor-type.ts';
import { sameMaker } from './alike.ts';
import { attrsText, type Flow } from './flow.ts';

/** Why a repetition is none. */
export interface Miss {
  /** The first depth that differs from the one before. */
  readonly depth: number;
  readonly message: string;
  /** True when the message tells little: anything else that is known about the place tells more. */
  readonly vague?: true;
}

/** A miss for values that should be made alike and are not. */
export function oddMiss(flow: Flow, values: readonly number[]): Miss {
  const depth = Math.max(
    values.findIndex((value, d) => d > 0 && !sameMaker(flow, value, values[d - 1]!)),
    1,
  );
  return {
    depth,
    message: `${describe(flow, values[depth]!)} stands where ${describe(flow, values[depth - 1]!)} does`,
  };
}

/** A miss for weights that one operand cannot be at different depths. */
export function weightMiss(flow: Flow, values: readonly number[], depth: number): Miss {
  const name = (value: number): string => {
    const { name, type } = flow.values[value]!;
    return `"${name}" ${formatType(type)}`;
  };
  return { depth, message: `weight ${name(values[depth]!)} stands where ${name(values[depth - 1]!)} does` };
}

/** A value as a message names it. */
export function describe(flow: Flow, value: number): string {
  const maker = flow.maker[value]!;
  if (maker >= 0) return nameOp(flow, maker);
  return `${flow.weights.has(value) ? 'weight' : 'input'} "${flow.values[value]!.name}"`;
}

/** An operation as a message names it: kind, attributes, place. */
export function nameOp(flow: Flow, index: number): string {
  const { op } = flow.ops[index]!;
  const attrs = op.kind === 'constant' || op.kind === 'loop' ? '' : attrsText(op.attrs);
  return `${op.kind}${attrs === '' ? '' : ` ${attrs}`} (${op.scope === '' ? `"${op.results[0]!.name}"` : op.scope})`;
}

import { type Dim, evaluateDim, symbolsOf } from '../dims.ts';
import type { Value } from '../graph.ts';
import { formatType } from '../tensor-type.ts';
import { formatShape, type Tensor } from './tensor.ts';

/** One axis of one input: what its dim has to come to. */
interface Axis {
  readonly input: string;
  readonly axis: number;
  readonly dim: Dim;
  readonly size: number;
}

/**
 * What the names in the dims of `inputs` stand for, given tensors for all of them; or a sentence on what does not fit:
 * a missing or surplus tensor, another element type, a size that contradicts another.
 */
export function bindSizes(
  inputs: readonly Value[],
  tensors: ReadonlyMap<string, Tensor>,
): ReadonlyMap<string, number> | string {
  const axes: Axis[] = [];
  for (const { name, type } of inputs) {
    const given = tensors.get(name);
    if (!given) return `there is no tensor for the input "${name}" ${formatType(type)}`;
    if (given.dtype !== type.dtype || given.shape.length !== type.dims.length) {
      return `the input "${name}" is ${formatType(type)}, but is given ${formatShape(given)}`;
    }
    given.shape.forEach((size, axis) => {
      axes.push({ input: name, axis, dim: type.dims[axis]!, size });
    });
  }
  const surplus = [...tensors.keys()].find((name) => !inputs.some((input) => input.name === name));
  if (surplus !== undefined) return `there is no input "${surplus}"`;

  const sizes = new Map<string, number>();
  // Plain names first, so that a message blames past+sequence and not past.
  for (const { dim, size } of axes) if (symbolsOf(dim)[0] === dim && !sizes.has(dim)) sizes.set(dim, size);
  while (axes.some((axis) => solveAxis(axis, sizes)));
  for (const { input, axis, dim, size } of axes) {
    const symbols = symbolsOf(dim);
    const open = symbols.filter((symbol) => !sizes.has(symbol));
    if (open.length > 0)
      return `axis ${axis} of the input "${input}" is ${dim}, which does not tell ${open.join(', ')}`;
    const expected = evaluateDim(dim, sizes);
    if (expected !== size) {
      const because = symbols.length > 0 ? ` with ${symbols.map((s) => `${s} = ${sizes.get(s)}`).join(', ')}` : '';
      return `axis ${axis} of the input "${input}" is ${dim}${because}: ${expected}, but is given ${size}`;
    }
  }
  return sizes;
}

/** Finds the one name of a dim that is still open, if the dim is linear in it and a size fits. */
function solveAxis({ dim, size }: Axis, sizes: Map<string, number>): boolean {
  const open = symbolsOf(dim).filter((symbol) => !sizes.has(symbol));
  if (open.length !== 1) return false;
  const at = (x: number) => evaluateDim(dim, new Map([...sizes, [open[0]!, x]]));
  const solution = (size - at(0)) / (at(1) - at(0));
  if (!Number.isInteger(solution) || solution < 0 || at(solution) !== size) return false;
  sizes.set(open[0]!, solution);
  return true;
}

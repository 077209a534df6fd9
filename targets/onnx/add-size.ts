import { type Dim, monomialsOf, subtractDims, symbolsOf } from '../../ir/dims.ts';
import type { Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';
import { int, type OnnxWriter } from './onnx-writer.ts';

/** Where a size can be read: an axis of an input. */
interface Axis {
  readonly input: Value;
  readonly axis: number;
  readonly dim: Dim;
}

/**
 * Adds what computes a named size as i64 [1]: the axis of an input that is just that, or sums and products of such.
 * A name that is no axis by itself is what is left of one: past, where there is an axis past+sequence and a sequence.
 */
export function addSize(writer: OnnxWriter, inputs: readonly Value[], dim: string): string {
  const axes = inputs.flatMap((input) => input.type.dims.map((of, axis): Axis => ({ input, axis, dim: of })));
  const direct = axes.find((axis) => axis.dim === dim);
  if (direct) return addShape(writer, direct);
  if (symbolsOf(dim)[0] !== dim) return addSum(writer, dim);
  const source = axisWith(axes, dim, new Set());
  invariant(source, `no input tells the size "${dim}"`);
  const rest = writer.size(subtractDims(source.dim, dim));
  return writer.add('Sub', [writer.size(source.dim), rest]);
}

function addShape(writer: OnnxWriter, { input, axis }: Axis): string {
  return writer.add('Shape', [input.name], { attributes: { start: int(axis), end: int(axis + 1) } });
}

function addSum(writer: OnnxWriter, dim: string): string {
  const terms = monomialsOf(dim).map(({ coefficient, symbols }) => {
    const factors = symbols.map(writer.size);
    if (coefficient !== 1 || factors.length === 0) factors.push(writer.constant('i64', [1], [coefficient]));
    return factors.reduce((product, factor) => writer.add('Mul', [product, factor]));
  });
  return terms.reduce((sum, term) => writer.add('Add', [sum, term]));
}

/** An axis that is `symbol` plus what other axes tell, without coming back to a symbol in `asking`. */
function axisWith(axes: readonly Axis[], symbol: string, asking: ReadonlySet<string>): Axis | undefined {
  const inner = new Set([...asking, symbol]);
  return axes.find(({ dim }) => {
    const others = symbolsOf(subtractDims(dim, symbol));
    const once = monomialsOf(dim).some(({ coefficient, symbols }) => coefficient === 1 && `${symbols}` === symbol);
    const known = (other: string): boolean =>
      axes.some((axis) => axis.dim === other) || (!inner.has(other) && axisWith(axes, other, inner) !== undefined);
    return once && !others.includes(symbol) && others.every(known);
  });
}

import type { DType } from '../dtype.ts';
import { invariant } from '../invariant.ts';
import { type FileWeight, type WeightExpr, weightKey, weightType } from '../weights.ts';
import { arithmetic, castTensor, mapTensor } from './elementwise.ts';
import { concat, stack, transpose } from './movement.ts';
import { matmul } from './products.ts';
import { roundTensor } from './round-tensor.ts';
import { formatShape, makeTensor, scalar, type Tensor } from './tensor.ts';

/** Reads a tensor of a file, as `decodeTensor` gives it. */
export type ReadWeight = (file: FileWeight) => Tensor | Promise<Tensor>;

/** Weights already evaluated, by what they are: hand one to several interpreters of the same files. */
export type WeightCache = Map<string, Tensor>;

export interface EvaluateOptions {
  readonly readWeight: ReadWeight;
  /** Rounds what each step gives to its type; otherwise everything stays in float64. */
  readonly round: boolean;
  readonly cache: WeightCache;
}

/** The numbers of a weight. Whole expressions and the files' tensors in them are kept in the cache. */
export async function evaluateWeight(expr: WeightExpr, options: EvaluateOptions): Promise<Tensor> {
  const key = `${options.round ? 'rounded ' : ''}${weightKey(expr)}`;
  const known = options.cache.get(key);
  if (known) return known;
  const result = await evaluate(expr, options);
  options.cache.set(key, result);
  return result;
}

async function evaluate(expr: WeightExpr, options: EvaluateOptions): Promise<Tensor> {
  const part = (of: WeightExpr): Promise<Tensor> =>
    of.kind === 'file' ? evaluateWeight(of, options) : evaluate(of, options);
  const parts = async (of: readonly WeightExpr[]): Promise<Tensor[]> => {
    const tensors: Tensor[] = [];
    for (const one of of) tensors.push(await part(one));
    return tensors;
  };
  const { dtype } = weightType(expr);
  const rounded = (x: Tensor): Tensor => (options.round ? roundTensor(x) : x);
  switch (expr.kind) {
    case 'file': {
      const found = await options.readWeight(expr);
      const expected = { dtype: expr.dtype, shape: expr.dims };
      invariant(
        found.dtype === expr.dtype && `${found.shape}` === `${expr.dims}`,
        `${expr.tensor} of ${expr.file} was read as ${formatShape(found)}, not ${expected.dtype}[${expected.shape}]`,
      );
      return found;
    }
    case 'literal':
      return makeTensor(dtype, expr.dims, expr.values);
    case 'cast':
      return rounded(castTensor(await part(expr.of), dtype));
    case 'transpose':
      return transpose(await part(expr.of), expr.perm);
    case 'offset':
      return rounded(mapTensor(await part(expr.of), (x) => x + expr.by));
    case 'concat':
      return concat(await parts(expr.of), expr.axis);
    case 'stack':
      return stackPadded(await parts(expr.of), weightType(expr).dims.slice(1));
    case 'merge': {
      const [base, a, b] = await parts([expr.base, expr.a, expr.b]);
      const update = arithmetic('mul', matmul(asFloat64(b!), asFloat64(a!)), scalar('f64', expr.scale));
      return rounded({ ...arithmetic('add', asFloat64(base!), update), dtype });
    }
  }
}

/** Each part in the corner of zeros of the shape `largest`. */
function stackPadded(parts: readonly Tensor[], largest: readonly number[]): Tensor {
  return stack(parts.map((part) => largest.reduce((x, size, axis) => padEnd(x, axis, size), part)));
}

function padEnd(x: Tensor, axis: number, size: number): Tensor {
  if (x.shape[axis] === size) return x;
  const filler = x.shape.map((s, i) => (i === axis ? size - s : s));
  return concat([x, makeTensor(x.dtype, filler)], axis);
}

function asFloat64(x: Tensor): Tensor {
  return castTensor(x, 'f64' satisfies DType);
}

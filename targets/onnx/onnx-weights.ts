import type { TensorEntry } from '../../files/safetensors.ts';
import { layoutSafetensors } from '../../files/write-safetensors.ts';
import { byteLength, type DType, type FloatDType } from '../../ir/dtype.ts';
import type { Value, Weight } from '../../ir/graph.ts';
import { type FileWeight, type LiteralWeight, type WeightExpr, weightKey, weightType } from '../../ir/weights.ts';
import { onnxTypes } from './element-types.ts';
import type { GeneratedTensor, OnnxFile } from './onnx-file.ts';
import type { OnnxTensor } from './onnx-model.ts';
import { addCast, inlineTensor, int, ints, type OnnxWriter } from './onnx-writer.ts';

/** Literals up to this size are in the protobuf itself; larger ones would only make it slow to read. */
const largestInline = 4096;

export interface OnnxWeights {
  /** The name of a weight, which gets there with its first use; undefined: `value` is no weight. */
  readonly nameOf: (value: Value) => string | undefined;
  /**
   * For an operation that only moves elements: the weight as its file has it, and the type to cast what was moved to.
   * Looking up a few rows of a bfloat16 table should not cast the whole table. Undefined: there is nothing to gain.
   */
  readonly beforeCast: (value: Value) => { readonly name: string; readonly to: FloatDType } | undefined;
  readonly finish: () => {
    readonly linked: readonly string[];
    readonly generated: readonly GeneratedTensor[];
    /** What the generated tensors are called and where they will be in their file. */
    readonly initializers: readonly OnnxTensor[];
  };
}

export interface OnnxWeightsOptions {
  /** Where generated tensors will be, beside the model. */
  readonly generatedFile: string;
  /** Generates every weight as the graph uses it, and points into no checkpoint. */
  readonly materialize: boolean;
  /** Another graph, whose generated tensors this one may use. */
  readonly beside?: Pick<OnnxFile, 'generated' | 'generatedFile'> | undefined;
}

/**
 * Writes weights as initializers that point into the checkpoint's files, and what their expressions do to them as
 * nodes of the main graph, which ONNX Runtime folds when it loads. Only numbers that no file has are generated. Whatever
 * several weights are casts of is one initializer all the same.
 */
export function onnxWeights(
  writer: OnnxWriter,
  weights: readonly Weight[],
  { generatedFile, materialize, beside }: OnnxWeightsOptions,
): OnnxWeights {
  const expressions = new Map(weights.map(({ value, expr }) => [value, expr]));
  const origins = sharedOrigins([...expressions.values()]);
  const written = new Map<string, string>();
  const linked = new Set<string>();
  const generated: GeneratedTensor[] = [];
  const elsewhere = beside && placesOf(beside.generated);

  const write = (expr: WeightExpr, wish: string): string => {
    const key = weightKey(expr);
    const known = written.get(key);
    if (known !== undefined) return known;
    const name = make(expr, wish);
    written.set(key, name);
    return name;
  };

  const make = (expr: WeightExpr, wish: string): string => {
    if (expr.kind === 'literal' && isSmall(expr)) return inline(expr, wish);
    if (isEmpty(expr)) {
      const { dtype, dims } = weightType(expr);
      return inline({ kind: 'literal', dtype, dims, values: [] }, wish);
    }
    if (isGenerated(expr)) return generate(expr, wish);
    const inner = (of: WeightExpr): string => write(of, wish);
    return writer.inFront(wish, () => {
      switch (expr.kind) {
        case 'file':
          return link(expr);
        case 'cast':
          return addCast(writer, inner(expr.of), expr.to);
        case 'transpose':
          return writer.add('Transpose', [inner(expr.of)], { attributes: { perm: ints(expr.perm) } });
        case 'offset':
          return writer.add('Add', [inner(expr.of), writer.constant(weightType(expr).dtype, [], [expr.by])]);
        case 'concat':
          return writer.add('Concat', expr.of.filter((part) => !isEmpty(part)).map(inner), {
            attributes: { axis: int(expr.axis) },
          });
        case 'stack':
          return writer.add('Concat', stackParts(writer, expr.of, inner), { attributes: { axis: int(0) } });
        case 'literal':
        case 'merge':
          return generate(expr, wish);
      }
    });
  };

  const isGenerated = (expr: WeightExpr): boolean =>
    (materialize || isNowhere(expr)) && !(expr.kind === 'cast' && origins.has(weightKey(expr.of)));

  const inline = ({ dtype, dims, values }: LiteralWeight, wish: string): string => {
    const name = writer.freshName(wish);
    writer.initializer(inlineTensor(name, dtype, dims, values));
    return name;
  };

  const link = ({ tensor, dtype, dims, file, offset, length }: FileWeight): string => {
    const name = writer.freshName(tensor);
    writer.initializer({
      name,
      elementType: onnxTypes[dtype],
      dims,
      data: { kind: 'external', location: file, offset, length },
    });
    linked.add(file);
    return name;
  };

  const generate = (expr: WeightExpr, wish: string): string => {
    const name = writer.freshName(wish);
    const place = elsewhere?.get(weightKey(expr));
    if (place) writer.initializer(external(name, place, beside!.generatedFile));
    else generated.push({ name, expr });
    return name;
  };

  return {
    nameOf(value) {
      const expr = expressions.get(value);
      return expr && write(expr, value.name);
    },
    beforeCast(value) {
      const expr = expressions.get(value);
      if (expr?.kind !== 'cast' || isGenerated(expr)) return undefined;
      return { name: write(expr.of, value.name), to: expr.to };
    },
    finish() {
      const initializers = layoutOf(generated).map((entry) => external(entry.name, entry, generatedFile));
      return { linked: [...linked].sort(), generated, initializers };
    },
  };
}

/** Where generated tensors lie in their file. */
function layoutOf(generated: readonly GeneratedTensor[]): readonly TensorEntry[] {
  return layoutSafetensors(generated.map(({ name, expr }) => ({ name, ...shapeOf(expr) }))).entries;
}

/** The same by the key of what they are. */
function placesOf(generated: readonly GeneratedTensor[]): ReadonlyMap<string, TensorEntry> {
  const byName = new Map(layoutOf(generated).map((entry) => [entry.name, entry]));
  return new Map(generated.map(({ name, expr }) => [weightKey(expr), byName.get(name)!]));
}

function external(name: string, { dtype, shape, offset, length }: TensorEntry, location: string): OnnxTensor {
  return { name, elementType: onnxTypes[dtype], dims: shape, data: { kind: 'external', location, offset, length } };
}

/** What more than one of these weights is a cast of, itself included, by key: an embedding that is the head as well. */
function sharedOrigins(weights: readonly WeightExpr[]): ReadonlySet<string> {
  const users = new Map<string, Set<string>>();
  for (const weight of weights) {
    const user = weightKey(weight);
    for (let origin = weight; ; origin = origin.of) {
      const key = weightKey(origin);
      users.set(key, (users.get(key) ?? new Set()).add(user));
      if (origin.kind !== 'cast') break;
    }
  }
  return new Set([...users].filter(([, of]) => of.size > 1).map(([key]) => key));
}

/** Every part as a tensor of its own leading axis, filled up with zeros to the size of the largest. */
function stackParts(
  writer: OnnxWriter,
  parts: readonly WeightExpr[],
  write: (part: WeightExpr) => string,
): readonly string[] {
  const types = parts.map(weightType);
  const largest = types[0]!.dims.map((_, axis) => Math.max(...types.map(({ dims }) => dims[axis]!)));
  const leading = writer.constant('i64', [1], [0]);
  return parts.map((part, i) => {
    const { dtype, dims } = types[i]!;
    // Joined with zeros and not padded: ONNX Runtime pads no 16-bit floats before the graph runs.
    const filled = isEmpty(part)
      ? addZeros(writer, dtype, largest)
      : dims.reduce((name, dim, axis) => {
          const missing = largest[axis]! - dim;
          if (missing === 0) return name;
          const shape = dims.map((other, j) => (j < axis ? largest[j]! : j === axis ? missing : other));
          return writer.add('Concat', [name, addZeros(writer, dtype, shape)], { attributes: { axis: int(axis) } });
        }, write(part));
    return writer.add('Unsqueeze', [filled, leading]);
  });
}

function addZeros(writer: OnnxWriter, dtype: DType, shape: readonly number[]): string {
  // ONNX Runtime expands no bfloat16.
  const made = dtype === 'bf16' ? 'f32' : dtype;
  const zero = writer.constant(made, [], [0]);
  const zeros = writer.add('Expand', [zero, writer.constant('i64', [shape.length], shape)]);
  return made === dtype ? zeros : addCast(writer, zeros, dtype);
}

/** True when no file has the numbers: a merge, or what only changes every element of one or moves it. */
function isNowhere(expr: WeightExpr): boolean {
  switch (expr.kind) {
    case 'merge':
      return true;
    case 'literal':
      return !isSmall(expr);
    case 'cast':
    case 'transpose':
    case 'offset':
      return isNowhere(expr.of);
    case 'file':
    case 'concat':
    case 'stack':
      return false;
  }
}

function isSmall({ dtype, values }: LiteralWeight): boolean {
  return byteLength(dtype, values.length) <= largestInline;
}

function isEmpty(expr: WeightExpr): boolean {
  return weightType(expr).dims.includes(0);
}

function shapeOf(expr: WeightExpr): { readonly dtype: DType; readonly shape: readonly number[] } {
  const { dtype, dims } = weightType(expr);
  return { dtype, shape: dims };
}

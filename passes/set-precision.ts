import { graphBuilder, inferTypes, loopTypes } from '../ir/builder.ts';
import { type DType, type FloatDType, isFloat } from '../ir/dtype.ts';
import { allOps, type Graph, type LoopOp, type Op, type Stage, type Value } from '../ir/graph.ts';
import { invariant } from '../ir/invariant.ts';
import type { StablePass } from './pass.ts';
import { castWeight } from './set-precision/cast-weight.ts';
import { f32Values, isF32Output } from './set-precision/f32-values.ts';
import { type Typing, typingOf } from './set-precision/typing.ts';

/** What a graph computes in, where that is enough. */
export type Precision = 'f32' | 'f16' | 'bf16';

export interface SetPrecisionOptions {
  readonly compute: Precision;
}

/**
 * Makes a graph compute in 16 bits where that is enough.
 *
 * Given: a graph in f32.
 * Result: products, attention, rotation and the residual stream are in the compute type, and so are the caches of the
 * interface and every other float input with axes. Norms, sums along axes, softmax, exponentials, the rotary tables, the
 * head and the confidence stay f32, and with them `logits`, `exit_logits.{n}` and scalar inputs. Casts stand where a value
 * is first needed in another type and are shared.
 * Weights: one that its file holds in the type that it is needed in is used as it is; others are cast by their
 * expression, straight from the file's type. A weight needed in two types (an embedding that is the head, too) is two
 * expressions of the same bytes.
 * Invariants: read in float64, where types round nothing, the numbers stay the same: as typed, they are rounded.
 * Edge cases: `f32` leaves the graph as it is. What is made of weights and constants alone is made in whatever type it
 * is needed in. Numbers beyond 65504 become infinite in f16, as everywhere.
 */
export function setPrecision({ compute }: SetPrecisionOptions): StablePass {
  return {
    name: 'set-precision',
    options: { compute },
    numerics: 'exact',
    changesInterface: true,
    run: (graph, { note }) => {
      if (compute === 'f32') {
        note('computes in f32 as it is');
        return graph;
      }
      return inPrecision(graph, compute);
    },
  };
}

function inPrecision<S extends Stage>(graph: Graph<S>, compute: FloatDType): Graph<S> {
  const builder = graphBuilder(graph.name);
  const inF32 = f32Values(graph, (kind) => typingOf(kind) === 'follow');
  const users = usersByTyping(graph);
  const made = new Map<Value, Value>();
  /** Weights, constants and what is made of them alone: made when needed, in the type in which they are. */
  const pliant = new Map<Value, (dtype: DType) => Value>();
  /** What was made in another type, by region: what a loop's body makes is of no use outside. */
  const converted: Map<Value, Map<DType, Value>>[] = [new Map()];

  const convert = (value: Value, dtype: DType, make: () => Value): Value => {
    for (const known of converted) {
      const found = known.get(value)?.get(dtype);
      if (found) return found;
    }
    const fresh = make();
    const here = converted.at(-1)!;
    here.set(value, (here.get(value) ?? new Map<DType, Value>()).set(dtype, fresh));
    return fresh;
  };
  /** The new value for an old one, in `dtype` if it is a float. */
  const get = (old: Value, dtype?: DType): Value => {
    const make = pliant.get(old);
    if (make) return convert(old, dtype ?? old.type.dtype, () => make(dtype ?? old.type.dtype));
    const value = made.get(old);
    invariant(value, `%${old.name} is used before it is made`);
    if (dtype === undefined || value.type.dtype === dtype || !isFloat(value.type.dtype)) return value;
    return convert(value, dtype, () => builder.add('cast', [value], { to: dtype }, `${value.name}.${dtype}`));
  };
  const emit = (op: Exclude<Op, LoopOp>, dtype: DType | undefined): readonly Value[] => {
    const operands = op.operands.map((operand) => get(operand, isFloat(operand.type.dtype) ? dtype : undefined));
    const attrs = op.kind === 'constant' && dtype !== undefined ? { ...op.attrs, dtype } : op.attrs;
    const types = inferTypes(op.kind, operands, attrs);
    invariant(typeof types !== 'string', `${op.kind} in "${op.scope}" ${types}`);
    const results = op.results.map(({ name }, i) => ({ name: builder.freshName(name), type: types[i]! }));
    builder.adopt({ ...op, operands, attrs, results } as Op);
    return results;
  };

  const visit = (op: Op): void => {
    if (op.kind === 'loop') {
      visitLoop(op);
      return;
    }
    const float = op.results.some(({ type }) => isFloat(type.dtype));
    if (
      typingOf(op.kind) === 'follow' &&
      float &&
      op.results.length === 1 &&
      op.operands.every((operand) => pliant.has(operand))
    ) {
      pliant.set(op.results[0]!, (dtype) => builder.inScope(op.scope, () => emit(op, dtype)[0]!));
      return;
    }
    const results = builder.inScope(op.scope, () => emit(op, typeFor(op)));
    op.results.forEach((old, i) => {
      made.set(old, results[i]!);
    });
  };

  /** The type of an operation's floats; undefined: as they come. */
  const typeFor = (op: Exclude<Op, LoopOp>): DType | undefined => {
    const floats = op.operands.filter(({ type }) => isFloat(type.dtype));
    if (floats.length === 0) return undefined;
    switch (typingOf(op.kind)) {
      case 'compute':
        return inF32.has(op.results[0]!) ? 'f32' : compute;
      case 'f32':
        return 'f32';
      case 'free':
        return undefined;
      case 'lookup':
        return pliant.has(floats[0]!) ? compute : undefined;
      case 'follow': {
        if (op.results.some((result) => inF32.has(result))) return 'f32';
        const given = floats.flatMap((operand) => made.get(operand)?.type.dtype ?? []);
        return given.includes(compute) ? compute : 'f32';
      }
    }
  };

  const visitLoop = (op: LoopOp): void => {
    const { carried, each, limited, stops } = op.attrs;
    const first = stops ? 1 : 0;
    const carriedType = (i: number): DType | undefined => {
      if (!isFloat(op.operands[i]!.type.dtype)) return undefined;
      return inF32.has(op.body.parameters[1 + i]!) ? 'f32' : compute;
    };
    builder.inScope(op.scope, () => {
      const operands = op.operands.map((operand, i) => {
        if (i < carried) return get(operand, carriedType(i));
        if (i >= carried + each || !pliant.has(operand)) return get(operand);
        const typings = users.get(op.body.parameters[1 + i]!) ?? [];
        return get(operand, typings.every((typing) => typing === 'f32') ? 'f32' : compute);
      });
      const parameters = op.body.parameters.map(({ name, type }, i) => {
        const dtype = i === 0 ? type.dtype : operands[i - 1]!.type.dtype;
        return { name: builder.freshName(name), type: { dtype, dims: type.dims } };
      });
      op.body.parameters.forEach((old, i) => {
        made.set(old, parameters[i]!);
      });
      converted.push(new Map());
      const body = builder.region(parameters, () => {
        op.body.ops.forEach(visit);
        return builder.inScope(op.scope, () =>
          op.body.results.map((result, i) => {
            const slot = i - first;
            return get(result, slot >= 0 && slot < carried ? carriedType(slot) : undefined);
          }),
        );
      });
      converted.pop();
      const attrs = { ...op.attrs, limited };
      const types = loopTypes(operands, attrs, body);
      invariant(typeof types !== 'string', `loop in "${op.scope}" ${types}`);
      const results = op.results.map(({ name }, i) => ({ name: builder.freshName(name), type: types[i]! }));
      builder.adopt({ ...op, operands, results, body });
      op.results.forEach((old, i) => {
        made.set(old, results[i]!);
      });
    });
  };

  for (const { name, type } of graph.inputs) {
    const dtype = isFloat(type.dtype) && type.dims.length > 0 ? compute : type.dtype;
    const input = builder.input(name, { dtype, dims: type.dims });
    made.set(graph.inputs.find((old) => old.name === name)!, input);
  }
  for (const { value, expr } of graph.weights) {
    if (isFloat(value.type.dtype)) {
      pliant.set(value, (dtype) => builder.weight(value.name, castWeight(expr, dtype as FloatDType)));
    } else made.set(value, builder.weight(value.name, expr));
  }
  graph.ops.forEach(visit);
  for (const { name, value } of graph.outputs) builder.output(name, get(value, isF32Output(name) ? 'f32' : compute));
  return builder.finish(graph.stage);
}

/** How the operations that use each value type their floats, loop bodies included. */
function usersByTyping(graph: Graph): ReadonlyMap<Value, readonly Typing[]> {
  const found = new Map<Value, Typing[]>();
  for (const op of allOps(graph)) {
    for (const operand of op.operands) {
      const list = found.get(operand);
      if (list) list.push(typingOf(op.kind));
      else found.set(operand, [typingOf(op.kind)]);
    }
  }
  return found;
}

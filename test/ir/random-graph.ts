import * as fc from 'fast-check';
import { type Dim, parseDim } from '../../ir/dims.ts';
import { type DType, dtypes, type FloatDType } from '../../ir/dtype.ts';
import type { Graph, Op, Region, Value } from '../../ir/graph.ts';
import { type AttrKind, type AttrValue, type OpKind, type OpSpec, opTable } from '../../ir/op-table.ts';
import type { WeightExpr } from '../../ir/weights.ts';

/** Draws values; `fc.gen()` gives one. */
export type Draw = <T>(arbitrary: () => fc.Arbitrary<T>) => T;

const count = () => fc.nat({ max: 9 });
const float = () => fc.double();
const dtype = () => fc.constantFrom(...(Object.keys(dtypes) as DType[]));
const floatType = () => fc.constantFrom<FloatDType>('f64', 'f32', 'f16', 'bf16');
const text = () => fc.oneof(fc.stringMatching(/^[a-z_][a-z0-9_.]{0,8}$/), fc.string({ unit: 'binary', maxLength: 6 }));
const dim = (): fc.Arbitrary<Dim> =>
  fc.oneof(
    count(),
    fc.constantFrom('batch', 'past+sequence', '2*a*b-c+7', 'sequence-past').map((d) => parseDim(d)!),
  );

/**
 * A graph that need not make sense, but says everything the text form has to be able to say: any operation with any
 * operands and attributes, loops in loops, weights of all kinds, names of any characters.
 */
export function randomGraph(draw: Draw): Graph {
  const names = new Set<string>();
  const fresh = (): string => {
    let name = draw(text);
    while (names.has(name)) name += '_';
    names.add(name);
    return name;
  };
  const value = (): Value => ({
    name: fresh(),
    type: { dtype: draw(dtype), dims: draw(() => fc.array(dim(), { maxLength: 3 })) },
  });
  const times = <T>(max: number, make: () => T): T[] => Array.from({ length: draw(() => fc.nat({ max })) }, make);
  const pick = (from: readonly Value[]): Value[] =>
    from.length === 0 ? [] : times(3, () => draw(() => fc.constantFrom(...from)));

  const region = (outer: readonly Value[], depth: number): Region => {
    const parameters = times(3, value);
    const { ops, visible } = makeOps([...outer, ...parameters], depth);
    return { parameters, ops, results: pick(visible) };
  };
  const makeOps = (outer: readonly Value[], depth: number): { ops: Op[]; visible: Value[] } => {
    const visible = [...outer];
    const ops = times(5, () => {
      const kinds = (Object.keys(opTable) as OpKind[]).filter((kind) => kind !== 'loop' || depth < 3);
      const kind = draw(() =>
        fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...kinds) }, fc.constantFrom(kinds.at(-1)!)),
      );
      const operands = pick(visible);
      const spec: OpSpec = opTable[kind];
      const attrs = Object.fromEntries(Object.entries(spec.attrs).map(([name, k]) => [name, draw(() => attr(k))]));
      const body = kind === 'loop' ? region(visible, depth + 1) : undefined;
      const results = times(2, value);
      visible.push(...results);
      return { kind, operands, attrs, results, scope: draw(text), body } as unknown as Op;
    });
    return { ops, visible };
  };

  const inputs = times(4, value);
  const weights = times(3, () => ({ value: value(), expr: weight(draw, 0) }));
  const { ops, visible } = makeOps([...inputs, ...weights.map((w) => w.value)], 0);
  const outputNames = new Set<string>();
  const outputs = pick(visible).flatMap((output) => {
    const name = draw(() => fc.oneof(fc.constant(output.name), text()));
    if (outputNames.has(name)) return [];
    outputNames.add(name);
    return [{ name, value: output }];
  });
  const stage = draw(() => fc.constantFrom('unrolled' as const, 'folded' as const, 'lowered' as const));
  return { name: draw(text), stage, inputs, weights, ops, outputs };
}

function attr(kind: AttrKind): fc.Arbitrary<AttrValue> {
  if (typeof kind !== 'string') return fc.constantFrom(...kind);
  const kinds: Readonly<Record<Extract<AttrKind, string>, () => fc.Arbitrary<AttrValue>>> = {
    int: () => fc.maxSafeInteger(),
    float,
    bool: () => fc.boolean(),
    ints: () => fc.array(fc.integer(), { maxLength: 3 }),
    numbers: () => fc.array(float(), { maxLength: 3 }),
    dim,
    dims: () => fc.array(dim(), { maxLength: 3 }),
    dtype,
  };
  return kinds[kind]();
}

function weight(draw: Draw, depth: number): WeightExpr {
  const kinds = ['file', 'literal', 'cast', 'transpose', 'offset', 'concat', 'stack', 'merge'] as const;
  const kind = draw(() => fc.constantFrom(...(depth < 3 ? kinds : kinds.slice(0, 2))));
  const part = () => weight(draw, depth + 1);
  const parts = () => Array.from({ length: 1 + draw(() => fc.nat({ max: 2 })) }, part);
  const dims = () => draw(() => fc.array(fc.nat({ max: 3 }), { maxLength: 2 }));
  switch (kind) {
    case 'file':
      return {
        kind,
        file: draw(text),
        tensor: draw(text),
        dtype: draw(dtype),
        dims: dims(),
        offset: draw(count),
        length: draw(count),
      };
    case 'literal': {
      const shape = dims();
      const length = shape.reduce((a, b) => a * b, 1);
      const values = draw(() => fc.array(float(), { minLength: length, maxLength: length }));
      return { kind, dtype: draw(dtype), dims: shape, values };
    }
    case 'cast':
      return { kind, of: part(), to: draw(floatType) };
    case 'transpose':
      return { kind, of: part(), perm: dims() };
    case 'offset':
      return { kind, of: part(), by: draw(float) };
    case 'concat':
      return { kind, axis: draw(count), of: parts() };
    case 'stack':
      return { kind, of: parts() };
    case 'merge':
      return { kind, base: part(), a: part(), b: part(), scale: draw(float) };
  }
}

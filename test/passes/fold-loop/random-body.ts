import * as fc from 'fast-check';
import { type GraphBuilder, graphBuilder } from '../../../ir/builder.ts';
import type { Graph, Value } from '../../../ir/graph.ts';
import { tensor } from '../../../ir/tensor-type.ts';
import { toyWeight } from './toy-model.ts';

const kinds = [
  ...['linear', 'linear', 'linear', 'own', 'lora', 'add', 'mul', 'tanh'],
  ...['norm', 'constant', 'inject', 'outside', 'cache'],
] as const;

/** One operation, or a few, on values that were made before: the numbers choose which. */
interface Step {
  readonly kind: (typeof kinds)[number];
  readonly a: number;
  readonly b: number;
}

/** Any computation that runs `loops` times on `streams` states. */
export interface RandomBody {
  readonly streams: number;
  readonly loops: number;
  readonly steps: readonly Step[];
  /** What the states but the first become. */
  readonly results: readonly number[];
  readonly before: number;
  readonly after: number;
  /** Values of every repetition that are outputs. */
  readonly sides: readonly number[];
}

export const randomBodies: fc.Arbitrary<RandomBody> = fc.record({
  streams: fc.integer({ min: 1, max: 3 }),
  loops: fc.integer({ min: 2, max: 5 }),
  steps: fc.array(fc.record({ kind: fc.constantFrom(...kinds), a: fc.nat(30), b: fc.nat(30) }), {
    minLength: 1,
    maxLength: 14,
  }),
  results: fc.array(fc.nat(30), { minLength: 3, maxLength: 3 }),
  before: fc.nat(2),
  after: fc.nat(2),
  sides: fc.array(fc.nat(30), { maxLength: 2 }),
});

export function randomBodyGraph(body: RandomBody): Graph<'unrolled'> {
  const b = graphBuilder('random');
  const x = b.input('x', tensor('f32', ['batch', 4]));
  const layer = (name: string, v: Value): Value =>
    b.add('tanh', [b.add('linear', [v, b.weight(name, toyWeight(name, [4, 4]))], {})], {});
  let states = Array.from({ length: body.streams }, (_, i) => {
    let state = x;
    for (let k = 0; k <= body.before; k++) state = layer(`before.${i}.${k}`, state);
    return state;
  });
  const sides: Value[] = [];
  for (let depth = 0; depth < body.loops; depth++) {
    const values = [...states];
    const value = (index: number): Value => values[index % values.length]!;
    body.steps.forEach(({ kind, a, b: other }, i) => {
      values.push(addStep(b, kind, value(a), value(other), x, i, depth));
    });
    for (const side of body.sides) sides.push(value(side));
    // One shared weight at least, between one state and the next.
    const update = b.add('linear', [values.at(-1)!, b.weight('last', toyWeight('last', [4, 4]))], {});
    states = states.map((state, i) => (i === 0 ? b.add('add', [state, update], {}) : value(body.results[i]!)));
  }
  let y = states.reduce((left, right) => b.add('add', [left, right], {}));
  for (let k = 0; k <= body.after; k++) y = layer(`after.${k}`, y);
  b.output('y', y);
  sides.forEach((side, i) => {
    b.output(`side.${i}`, side);
  });
  return b.finish('unrolled');
}

function addStep(
  b: GraphBuilder,
  kind: Step['kind'],
  a: Value,
  other: Value,
  x: Value,
  index: number,
  depth: number,
): Value {
  const weight = (name: string, dims: readonly number[]) => b.weight(name, toyWeight(name, dims));
  switch (kind) {
    case 'linear':
      return b.add('linear', [a, weight(`w.${index}`, [4, 4])], {});
    case 'own':
      return b.add('mul', [a, weight(`own.${index}.${depth}`, [4])], {});
    case 'lora': {
      const rank = 1 + ((depth + index) % 2);
      const factors = [weight(`a.${index}.${depth}`, [rank, 4]), weight(`b.${index}.${depth}`, [4, rank])] as const;
      return b.add('low_rank', [a, ...factors, b.constant('f32', 0.5)], {});
    }
    case 'add':
      return b.add('add', [a, other], {});
    case 'mul':
      // Products of products would leave what float64 holds.
      return b.add('mul', [a, b.add('tanh', [other], {})], {});
    case 'tanh':
      return b.add('tanh', [a], {});
    case 'norm':
      return b.add('rms_norm', [a, weight(`norm.${index}`, [4])], { epsilon: 1e-6 });
    case 'constant':
      return b.add('mul', [a, b.constant('f32', 1 + depth / 8)], {});
    case 'inject':
      return b.add('add', [a, x], {});
    case 'outside':
      return b.add('sub', [a, b.add('mul', [x, b.constant('f32', 3)], {})], {});
    case 'cache': {
      const cache = b.input(`cache.${depth}.${index}`, tensor('f32', ['past', 4]));
      const all = b.add('concat', [cache, a], { axis: 0 });
      return b.add('add', [a, b.add('reduce_sum', [all], { axis: 0, keep: false })], {});
    }
  }
}

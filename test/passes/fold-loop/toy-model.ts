import * as fc from 'fast-check';
import { type GraphBuilder, graphBuilder } from '../../../ir/builder.ts';
import type { Graph, Op, Value } from '../../../ir/graph.ts';
import { tensor } from '../../../ir/tensor-type.ts';
import { type FileWeight, literal } from '../../../ir/weights.ts';

/** What one stored layer of a toy model does. */
export interface ToyLayer {
  readonly norm: 'none' | 'shared' | 'per-depth';
  readonly mixer: 'attention' | 'softmax' | 'none';
  readonly cache: boolean;
  readonly residual: 'pre-norm' | 'post-norm' | 'parallel' | 'none';
  readonly activation: 'silu' | 'relu' | 'tanh';
  readonly bias: boolean;
  /** How a weight gets to its product: by `linear`, or transposed for `matmul`. */
  readonly product: 'linear' | 'transposed';
  /** LoRA ranks, repeated as there are depths. */
  readonly ranks: readonly number[] | undefined;
  /** Multiplies the update by a number, the same at every depth or not. */
  readonly scale: 'none' | 'shared' | 'per-depth';
  /** Adds what the first layer was given. */
  readonly injects: boolean;
}

/** A small model that is built as exporters build them: written out, layer after layer. */
export interface ToyModel {
  readonly prelude: number;
  readonly loops: number;
  readonly coda: number;
  readonly layers: readonly ToyLayer[];
  /** The head uses the embedding. */
  readonly tied: boolean;
  /** A vector of its own is added at every depth. */
  readonly depthEmbedding: 'none' | 'weights' | 'stacked';
  /** The state behind every loop is an output. */
  readonly exits: boolean;
  /** Masks and the like are computed again for every layer, as some exporters do. */
  readonly repeats: boolean;
}

const hidden = 4;
const width = 6;

export const plainLayer: ToyLayer = {
  norm: 'shared',
  mixer: 'attention',
  cache: true,
  residual: 'pre-norm',
  activation: 'silu',
  bias: false,
  product: 'linear',
  ranks: undefined,
  scale: 'none',
  injects: false,
};

export const plainModel: ToyModel = {
  prelude: 0,
  loops: 3,
  coda: 0,
  layers: [plainLayer, plainLayer],
  tied: false,
  depthEmbedding: 'none',
  exits: false,
  repeats: false,
};

/** A weight of a file that does not exist; its numbers follow from its name. */
export function toyWeight(name: string, dims: readonly number[]): FileWeight {
  const length = 4 * dims.reduce((count, dim) => count * dim, 1);
  // Weights are told apart by their place in the file.
  const offset = [...name].reduce((hash, c) => (hash * 31 + c.codePointAt(0)!) % 1_000_003, 7) * 4096;
  return { kind: 'file', file: 'toy.safetensors', tensor: name, dtype: 'f32', dims, offset, length };
}

/** Where a layer stands: `stored` names its weights, `depth` is undefined outside the block. */
interface Place {
  readonly stored: number;
  readonly running: number;
  readonly depth: number | undefined;
}

/** `change` may build one layer differently, to make a graph that only looks like a loop. */
export function toyGraph(
  model: ToyModel,
  change: (layer: ToyLayer, place: Place) => ToyLayer & { readonly weights?: number } = (layer) => layer,
): Graph<'unrolled'> {
  const b = graphBuilder('toy');
  const { prelude, loops, coda, layers } = model;
  const block = layers.length;
  const places: Place[] = [];
  const place = (stored: number, depth?: number) => places.push({ stored, running: places.length, depth });
  for (let i = 0; i < prelude; i++) place(i);
  for (let depth = 0; depth < loops; depth++) for (let i = 0; i < block; i++) place(prelude + i, depth);
  for (let i = 0; i < coda; i++) place(prelude + block + i);

  const ids = b.input('ids', tensor('i64', ['batch', 'sequence']));
  const mask = b.input('mask', tensor('i64', ['batch', 'past+sequence']));
  const layerAt = ({ stored, ...rest }: Place) =>
    change(layers[(stored - prelude + block * prelude) % block]!, { stored, ...rest });
  const caches = places.map((at) =>
    layerAt(at).cache && layerAt(at).mixer !== 'none'
      ? ['key', 'value'].map((part) => b.input(`past.${at.running}.${part}`, tensor('f32', ['batch', 2, 'past', 2])))
      : [],
  );

  const table = b.weight('table', toyWeight('table', [10, hidden]));
  const first = b.add('gather', [table, ids], { axis: 0 });
  const visible = toyMask(b, mask);
  const depthVectors = b.weight('depths', toyWeight('depths', [loops, hidden]));
  let x = first;
  const outputs: [string, Value][] = [];
  places.forEach((at, i) => {
    const starts = at.depth !== undefined && at.stored === prelude;
    if (starts && model.depthEmbedding !== 'none') {
      const depth = at.depth!;
      const vector =
        model.depthEmbedding === 'weights'
          ? b.weight(`depth.${depth}`, toyWeight(`depth.${depth}`, [hidden]))
          : b.add('select', [depthVectors], { axis: 0, index: depth });
      x = b.add('add', [x, vector], {});
    }
    const { stored, depth } = at;
    const layer = layerAt(at);
    const weights = layer.weights ?? stored;
    const made = toyLayer(
      b,
      layer,
      { x, first, visible: model.repeats ? toyMask(b, mask) : visible, caches: caches[i]! },
      {
        shared: (name, dims) => b.weight(`${weights}.${name}`, toyWeight(`${weights}.${name}`, dims)),
        own: (name, dims) =>
          b.weight(`${weights}.${name}.${depth ?? 0}`, toyWeight(`${weights}.${name}.${depth ?? 0}`, dims)),
        depth: depth ?? 0,
      },
    );
    x = made.x;
    made.grown.forEach((value, part) => {
      outputs.push([`present.${i}.${part}`, value]);
    });
    if (model.exits && depth !== undefined && stored === prelude + block - 1) outputs.push([`state.${depth}`, x]);
  });
  const head = model.tied ? table : b.weight('head', toyWeight('head', [10, hidden]));
  b.output('logits', b.add('linear', [x, head], {}));
  for (const [name, value] of outputs) b.output(name, value);
  return b.finish('unrolled');
}

function toyMask(b: GraphBuilder, mask: Value): Value {
  const keys = b.add('iota', [], { size: 'past+sequence' });
  const queries = b.add('slice', [keys], { axis: 0, start: 'past', end: 'past+sequence' });
  const column = b.add('reshape', [queries], { dims: ['sequence', 1] });
  const attended = b.add('equal', [mask, b.constant('i64', 1)], {});
  const row = b.add('reshape', [attended], { dims: ['batch', 1, 1, 'past+sequence'] });
  return b.add('and', [b.add('less_equal', [keys, column], {}), row], {});
}

interface Weights {
  readonly shared: (name: string, dims: readonly number[]) => Value;
  readonly own: (name: string, dims: readonly number[]) => Value;
  readonly depth: number;
}

interface Around {
  readonly x: Value;
  readonly first: Value;
  readonly visible: Value;
  readonly caches: readonly Value[];
}

function toyLayer(
  b: GraphBuilder,
  layer: ToyLayer,
  { x, first, visible, caches }: Around,
  weights: Weights,
): { readonly x: Value; readonly grown: readonly Value[] } {
  const grown: Value[] = [];
  const norm = (name: string, v: Value): Value => {
    if (layer.norm === 'none') return v;
    const scale = layer.norm === 'shared' ? weights.shared(name, [hidden]) : weights.own(name, [hidden]);
    return b.add('rms_norm', [v, scale], { epsilon: 1e-6 });
  };
  const linear = (name: string, v: Value, out: number): Value => {
    const wide = v.type.dims.at(-1) as number;
    const bias = layer.bias ? weights.shared(`${name}.bias`, [out]) : undefined;
    const w = weights.shared(name, [out, wide]);
    let y: Value;
    if (layer.product === 'linear') y = b.add('linear', [v, w, bias], {});
    else {
      y = b.add('matmul', [v, b.add('transpose', [w], { perm: [1, 0] })], {});
      if (bias) y = b.add('add', [y, bias], {});
    }
    if (!layer.ranks) return y;
    const rank = layer.ranks[weights.depth % layer.ranks.length]!;
    const factor = (part: string, dims: readonly number[]) =>
      rank === 0 ? b.weight(`${name}.${part}`, literal('f32', dims, [])) : weights.own(`${name}.${part}`, dims);
    const scale = b.constant('f32', rank === 0 ? 1 : 2 / rank);
    return b.add(
      'add',
      [y, b.add('low_rank', [v, factor('a', [rank, wide]), factor('b', [out, rank]), scale], {})],
      {},
    );
  };
  const heads = (v: Value): Value => {
    const split = b.add('reshape', [v], { dims: ['batch', 'sequence', 2, 2] });
    return b.add('transpose', [split], { perm: [0, 2, 1, 3] });
  };
  const mixer = (v: Value): Value => {
    const [q, k, value] = ['q', 'k', 'v'].map((name) => heads(linear(name, v, hidden))) as [Value, Value, Value];
    const join = (cache: Value | undefined, now: Value): Value => {
      if (!cache) return now;
      const all = b.add('concat', [cache, now], { axis: 2 });
      grown.push(all);
      return all;
    };
    const [keys, values] = [join(caches[0], k), join(caches[1], value)];
    const seen =
      caches.length > 0 ? visible : b.add('slice', [visible], { axis: 3, start: 'past', end: 'past+sequence' });
    let mixed: Value;
    if (layer.mixer === 'attention') mixed = b.add('attention', [q, keys, values, seen], { scale: 0.5 });
    else {
      const scores = b.add('matmul', [q, b.add('transpose', [keys], { perm: [0, 1, 3, 2] })], {});
      const masked = b.add('where', [seen, scores, b.constant('f32', -1e9)], {});
      mixed = b.add('matmul', [b.add('softmax', [masked], { axis: 3 }), values], {});
    }
    const rows = b.add('transpose', [mixed], { perm: [0, 2, 1, 3] });
    return linear('o', b.add('reshape', [rows], { dims: ['batch', 'sequence', hidden] }), hidden);
  };
  const mlp = (v: Value): Value => {
    const gate = b.add(layer.activation, [linear('gate', v, width)], {});
    // Not the product itself: squared layer after layer, numbers would leave what float64 holds.
    const up = b.add('sigmoid', [linear('up', v, width)], {});
    const out = linear('down', b.add('mul', [gate, up], {}), hidden);
    if (layer.scale === 'none') return out;
    return b.add('mul', [out, b.constant('f32', layer.scale === 'shared' ? 0.5 : 0.5 + weights.depth)], {});
  };

  if (layer.injects) x = b.add('add', [x, first], {});
  const parts: [string, (v: Value) => Value][] = layer.mixer === 'none' ? [] : [['norm.1', mixer]];
  parts.push(['norm.2', mlp]);
  if (layer.residual === 'parallel') {
    const updates = parts.map(([name, part]) => part(norm(name, x)));
    return { x: updates.reduce((sum, update) => b.add('add', [sum, update], {}), x), grown };
  }
  for (const [name, part] of parts) {
    if (layer.residual === 'pre-norm') x = b.add('add', [x, part(norm(name, x))], {});
    else if (layer.residual === 'post-norm') x = norm(name, b.add('add', [x, part(x)], {}));
    else x = part(norm(name, x));
  }
  return { x, grown };
}

const layerArbitrary: fc.Arbitrary<ToyLayer> = fc.record({
  norm: fc.constantFrom('none', 'shared', 'per-depth'),
  mixer: fc.constantFrom('attention', 'softmax', 'none'),
  cache: fc.boolean(),
  residual: fc.constantFrom('pre-norm', 'post-norm', 'parallel', 'none'),
  activation: fc.constantFrom('silu', 'relu', 'tanh'),
  bias: fc.boolean(),
  product: fc.constantFrom('linear', 'transposed'),
  ranks: fc.option(fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }), { nil: undefined }),
  scale: fc.constantFrom('none', 'shared', 'per-depth'),
  injects: fc.boolean(),
});

/** Any toy model that repeats something. */
export const toyModels: fc.Arbitrary<ToyModel> = fc.record({
  prelude: fc.nat(2),
  loops: fc.integer({ min: 2, max: 5 }),
  coda: fc.nat(2),
  layers: fc.array(layerArbitrary, { minLength: 1, maxLength: 3 }),
  tied: fc.boolean(),
  depthEmbedding: fc.constantFrom('none', 'weights', 'stacked'),
  exits: fc.boolean(),
  repeats: fc.boolean(),
});

/** The same graph with its operations in another order in which they can run, and, if asked, meaningless names. */
export function shuffled<G extends Graph>(graph: G, random: () => number, rename = false): G {
  const made = new Set<Value>([...graph.inputs, ...graph.weights.map(({ value }) => value)]);
  const waiting = [...graph.ops];
  const ops: Op[] = [];
  while (waiting.length > 0) {
    const ready = waiting.filter((op) => op.operands.every((value) => made.has(value)));
    const op = ready[Math.floor(random() * ready.length)]!;
    waiting.splice(waiting.indexOf(op), 1);
    for (const result of op.results) made.add(result);
    ops.push(op);
  }
  if (!rename) return { ...graph, ops };
  const names = new Map<Value, Value>();
  const renamed = (value: Value): Value => {
    const known = names.get(value);
    if (known) return known;
    const copy = { ...value, name: `n${names.size}` };
    names.set(value, copy);
    return copy;
  };
  for (const input of graph.inputs) names.set(input, input);
  return {
    ...graph,
    weights: graph.weights.map(({ value, expr }) => ({ value: renamed(value), expr })),
    ops: ops.map(
      (op) => ({ ...op, operands: op.operands.map(renamed), results: op.results.map(renamed), scope: '' }) as Op,
    ),
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: renamed(value) })),
  };
}

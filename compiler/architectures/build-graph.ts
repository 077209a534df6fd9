import { type GraphBuilder, graphBuilder } from '../../ir/builder.ts';
import { addDims } from '../../ir/dims.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import { invariant } from '../../ir/invariant.ts';
import { tensor } from '../../ir/tensor-type.ts';
import { literal, type WeightExpr } from '../../ir/weights.ts';
import type { SourceModel } from '../read/source-model.ts';
import { attention, type Cache } from './attention.ts';
import type { DecoderSpec } from './decoder-spec.ts';
import { type LayerPlace, layerPlaces, usesOf } from './layer-places.ts';
import { mlp } from './mlp.ts';

/** What the parts of a layer are built with. */
export interface LayerContext {
  readonly b: GraphBuilder;
  readonly spec: DecoderSpec;
  readonly place: LayerPlace;
  /** The layer's linear module `path`, its bias if it has one, and its LoRA update at this depth if it has one. */
  readonly linear: (path: string, x: Value, bias: boolean) => Value;
  /** The layer's norm module `path`, over the last axis. */
  readonly norm: (path: string, x: Value) => Value;
}

/** What every layer reads besides the hidden state. */
export interface Surroundings {
  readonly cos: Value;
  readonly sin: Value;
  /** Which keys each query sees, by sliding window. */
  readonly mask: (window: number | undefined) => Value;
}

/**
 * Spells a model out, every loop and every layer, as a graph in float32.
 *
 * Inputs: input_ids, attention_mask, position_ids and a key and value cache per layer that runs; outputs: logits and
 * the caches grown by the new positions, named as Hugging Face's exporters do. A weight that runs B times is one weight.
 */
export function buildGraph(model: SourceModel): Graph<'unrolled'> {
  const { spec } = model;
  const b = graphBuilder(model.name);
  const places = layerPlaces(model);

  const inputIds = b.input('input_ids', tensor('i64', ['batch', 'sequence']));
  const attentionMask = b.input('attention_mask', tensor('i64', ['batch', addDims('past', 'sequence')]));
  const positionIds = b.input('position_ids', tensor('i64', ['batch', 'sequence']));
  const cacheType = tensor('f32', ['batch', spec.kvHeads, 'past', spec.headDim]);
  const caches = places.map(
    ({ unrolled }): Cache => ({
      key: b.input(`past_key_values.${unrolled}.key`, cacheType),
      value: b.input(`past_key_values.${unrolled}.value`, cacheType),
    }),
  );

  const weight = weightMaker(b, model, '');
  let hidden = b.inScope('embed', () => {
    const embedded = b.add('gather', [weight(`${spec.names.embedding}.weight`), inputIds], { axis: 0 }, 'hidden');
    return spec.embeddingScale === undefined
      ? embedded
      : b.add('mul', [embedded, b.constant('f32', spec.embeddingScale)], {}, 'hidden');
  });
  const around: Surroundings = {
    ...b.inScope('rotary', () => rotaryTables(b, spec, positionIds)),
    mask: masks(b, attentionMask),
  };

  const grown: Cache[] = [];
  for (const place of places) {
    const layer = layerContext(b, model, place);
    const [next, cache] = b.inScope(place.scope, () => decoderLayer(layer, hidden, around, caches[place.unrolled]!));
    hidden = next;
    grown.push(cache);
  }

  const normed = b.inScope('norm', () => norm(b, spec, spec.names.finalNorm, weight, hidden));
  const logits = b.inScope('lm_head', () => {
    const table = weight(`${spec.tiedEmbeddings ? spec.names.embedding : spec.names.head}.weight`);
    return b.add(
      'linear',
      [normed, table, spec.biases.head ? weight(`${spec.names.head}.bias`) : undefined],
      {},
      'logits',
    );
  });
  b.output('logits', logits);
  grown.forEach(({ key, value }, i) => {
    b.output(`present.${i}.key`, key);
    b.output(`present.${i}.value`, value);
  });
  return b.finish('unrolled');
}

function decoderLayer(layer: LayerContext, hidden: Value, around: Surroundings, cache: Cache): readonly [Value, Cache] {
  const { b, spec, place } = layer;
  const { names } = spec;
  // What a module does besides its products belongs to the module that holds them.
  const within = <T>(path: string, build: () => T): T => b.inScope(moduleScope(place, parentModule(path)), build);
  const transformed = (x: Value) => {
    const normed = layer.norm(names.postAttentionNorm, x);
    return within(names.down, () => mlp(layer, normed));
  };
  const normed = layer.norm(names.inputNorm, hidden);
  const [attended, grown] = within(names.output, () => attention(layer, normed, around, cache));
  if (spec.parallelResidual) {
    const both = b.add('add', [transformed(hidden), attended], {}, 'update');
    return [b.add('add', [hidden, both], {}, 'hidden'), grown];
  }
  const middle = b.add('add', [hidden, attended], {}, 'hidden');
  return [b.add('add', [middle, transformed(middle)], {}, 'hidden'), grown];
}

function layerContext(b: GraphBuilder, model: SourceModel, place: LayerPlace): LayerContext {
  const { spec, lora } = model;
  const prefix = `${spec.names.layers}.${place.stored}`;
  const weight = weightMaker(b, model, `${prefix}.`);
  return {
    b,
    spec,
    place,
    linear: (path, x, bias) =>
      b.inScope(moduleScope(place, path), () => {
        const base = b.add(
          'linear',
          [x, weight(`${path}.weight`), bias ? weight(`${path}.bias`) : undefined],
          {},
          lastPart(path),
        );
        if (!lora?.targets.includes(path) || place.use === undefined) return base;
        const factors = loraFactors(model, place.stored, path, place.use);
        if (!factors) return base;
        const [a, bFactor] = factors.map(({ name, expr }) => b.weight(name, inF32(expr))) as [Value, Value];
        const rank = a.type.dims[0] as number;
        const scale = b.constant('f32', lora.alpha === undefined || rank === 0 ? 1 : Math.fround(lora.alpha / rank));
        const update = b.add('low_rank', [x, a, bFactor, scale], {}, `${lastPart(path)}.lora`);
        return b.add('add', [base, update], {}, `${lastPart(path)}.relaxed`);
      }),
    norm: (path, x) => {
      const own = model.recursion.norms === 'per-depth' && place.use !== undefined ? `.depth_${place.use}` : '';
      return b.inScope(moduleScope(place, path), () => norm(b, spec, path, weight, x, own));
    },
  };
}

/** `depth.0/layer.1/self_attn/q_proj` for `self_attn.q_proj`. */
function moduleScope({ scope }: LayerPlace, path: string): string {
  return `${scope}/${path.replaceAll('.', '/')}`;
}

interface NamedWeight {
  readonly name: string;
  readonly expr: WeightExpr;
}

/** A and B of one module where its layer runs for the `use`-th time. A use without them gets empty ones while another has some: all look alike. */
function loraFactors(
  model: SourceModel,
  stored: number,
  path: string,
  use: number,
): readonly [NamedWeight, NamedWeight] | undefined {
  const name = (factor: 'A' | 'B', d: number) =>
    `${model.spec.names.layers}.${stored}.${path}.lora_${factor}.depth_${d}.weight`;
  const own = (factor: 'A' | 'B'): NamedWeight => ({
    name: name(factor, use),
    expr: fileWeight(model, name(factor, use)),
  });
  if (model.tensors.has(name('A', use))) return [own('A'), own('B')];
  const uses = usesOf(model.recursion).get(stored) ?? 0;
  const other = Array.from({ length: uses }, (_, d) => d).find((d) => model.tensors.has(name('A', d)));
  if (other === undefined) return undefined;
  const [a, b] = [model.tensors.get(name('A', other))!, model.tensors.get(name('B', other))!];
  return [
    { name: name('A', use), expr: literal('f32', [0, a.shape[1]!], []) },
    { name: name('B', use), expr: literal('f32', [b.shape[0]!, 0], []) },
  ];
}

/** The value of a checkpoint's tensor in float32, or of that tensor plus a number. */
type WeightMaker = (name: string, plus?: number) => Value;

function weightMaker(b: GraphBuilder, model: SourceModel, prefix: string): WeightMaker {
  return (name, plus) => {
    const of = inF32(fileWeight(model, `${prefix}${name}`));
    return b.weight(`${prefix}${name}`, plus === undefined ? of : { kind: 'offset', of, by: plus });
  };
}

/** @param own what the names of its weights have behind the module's, where a layer has several of them */
function norm(b: GraphBuilder, spec: DecoderSpec, path: string, weight: WeightMaker, x: Value, own = ''): Value {
  const { epsilon, kind, addsOne } = spec.norm;
  const scale = weight(`${path}${own}.weight`, addsOne ? 1 : undefined);
  if (kind === 'layer')
    return b.add('layer_norm', [x, scale, weight(`${path}${own}.bias`)], { epsilon }, `${lastPart(path)}.out`);
  return b.add('rms_norm', [x, scale], { epsilon }, `${lastPart(path)}.out`);
}

/** cos and sin of every position, [batch, sequence, dims / 2]: the same for all layers. */
function rotaryTables(
  b: GraphBuilder,
  spec: DecoderSpec,
  positionIds: Value,
): { readonly cos: Value; readonly sin: Value } {
  const { inverseFrequencies, attentionFactor } = spec.rotary;
  const frequencies = b.weight('inverse_frequencies', literal('f32', [inverseFrequencies.length], inverseFrequencies));
  const positions = b.add('cast', [positionIds], { to: 'f32' }, 'positions');
  const column = b.add('reshape', [positions], { dims: ['batch', 'sequence', 1] }, 'positions');
  const angles = b.add('mul', [column, frequencies], {}, 'angles');
  const scaled = (x: Value, name: string) =>
    attentionFactor === 1 ? x : b.add('mul', [x, b.constant('f32', Math.fround(attentionFactor))], {}, name);
  return {
    cos: scaled(b.add('cos', [angles], {}, 'cos'), 'cos'),
    sin: scaled(b.add('sin', [angles], {}, 'sin'), 'sin'),
  };
}

/**
 * Masks by window, each made once, bool [batch, 1, sequence, past + sequence].
 * A query sees keys up to its own place that are not padding. A window counts attended tokens only, so that padding on
 * either side, or a gap behind a shorter prompt, moves nothing.
 */
function masks(b: GraphBuilder, attentionMask: Value): Surroundings['mask'] {
  const total = addDims('past', 'sequence');
  const made = new Map<number | undefined, Value>();
  const make = (window: number | undefined): Value => {
    if (window === undefined) {
      const keys = b.add('iota', [], { size: total }, 'key_places');
      const queries = b.add('slice', [keys], { axis: 0, start: 'past', end: total }, 'query_places');
      const column = b.add('reshape', [queries], { dims: ['sequence', 1] }, 'query_places');
      const causal = b.add('less_equal', [keys, column], {}, 'causal');
      const attended = b.add(
        'not',
        [b.add('equal', [attentionMask, b.constant('i64', 0)], {}, 'padding')],
        {},
        'attended',
      );
      const row = b.add('reshape', [attended], { dims: ['batch', 1, 1, total] }, 'attended');
      return b.add('and', [causal, row], {}, 'visible');
    }
    const everything = mask(undefined);
    const ones = b.add(
      'cast',
      [b.add('not', [b.add('equal', [attentionMask, b.constant('i64', 0)], {}, 'padding')], {}, 'attended')],
      { to: 'i64' },
    );
    const ranks = b.add('cumsum', [ones], { axis: 1 }, 'ranks');
    const keys = b.add('reshape', [ranks], { dims: ['batch', 1, 1, total] }, 'key_ranks');
    const own = b.add('slice', [ranks], { axis: 1, start: 'past', end: total }, 'query_ranks');
    const queries = b.add('reshape', [own], { dims: ['batch', 1, 'sequence', 1] }, 'query_ranks');
    const near = b.add('less', [b.add('sub', [queries, keys], {}, 'distance'), b.constant('i64', window)], {}, 'near');
    return b.add('and', [everything, near], {}, 'visible');
  };
  const mask = (window: number | undefined): Value => {
    const known = made.get(window);
    if (known) return known;
    const value = b.inScope('mask', () => make(window));
    made.set(window, value);
    return value;
  };
  return mask;
}

function fileWeight(model: SourceModel, name: string): WeightExpr {
  const entry = model.tensors.get(name);
  invariant(entry, `the reader let a model through that has no ${name}`);
  const { dtype, shape, offset, length, file } = entry;
  return { kind: 'file', file: file.path, tensor: name, dtype, dims: shape, offset, length };
}

/** The source graph computes in float32, whatever the checkpoint stores. */
function inF32(expr: WeightExpr): WeightExpr {
  const dtype = expr.kind === 'file' ? expr.dtype : 'f32';
  return dtype === 'f32' ? expr : { kind: 'cast', to: 'f32', of: expr };
}

function parentModule(path: string): string {
  return path.slice(0, path.lastIndexOf('.'));
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

export { type LayerPlace, layerPlaces } from './layer-places.ts';

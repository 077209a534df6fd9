import type { Dim } from '../../ir/dims.ts';
import type { Value } from '../../ir/graph.ts';
import type { LayerContext, Surroundings } from './build-graph.ts';

/** Keys and values of one layer, [batch, kv_heads, positions, head_dim]; keys after their norm and rotation. */
export interface Cache {
  readonly key: Value;
  readonly value: Value;
}

/** Self-attention over the cache and the new positions; returns its output [batch, sequence, hidden] and the grown cache. */
export function attention(layer: LayerContext, x: Value, around: Surroundings, past: Cache): readonly [Value, Cache] {
  const { b, spec, place } = layer;
  const { names } = spec;
  const { q, k, v } = spec.fusedQkv ? fusedHeads(layer, x) : separateHeads(layer, x);
  const rotate = (heads: Value, name: string) =>
    spec.rotary.dims === 0 ? heads : b.add('rotary', [heads, around.cos, around.sin], {}, name);
  const key = b.add('concat', [past.key, rotate(k, 'k.rotated')], { axis: 2 }, `present.${place.unrolled}.key`);
  const value = b.add('concat', [past.value, v], { axis: 2 }, `present.${place.unrolled}.value`);
  const mask = around.mask(spec.slidingWindows[place.stored]);
  const heads = b.add(
    'attention',
    [rotate(q, 'q.rotated'), key, value, mask],
    { scale: spec.attentionScale },
    'attended',
  );
  const rows = b.add('transpose', [heads], { perm: [0, 2, 1, 3] }, 'attended.rows');
  const joined = b.add(
    'reshape',
    [rows],
    { dims: ['batch', 'sequence', spec.heads * spec.headDim] },
    'attended.joined',
  );
  return [layer.linear(names.output, joined, spec.biases.output), { key, value }];
}

interface Heads {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
}

/** Three projections, each reshaped into heads: [batch, heads, sequence, head_dim]. */
function separateHeads(layer: LayerContext, x: Value): Heads {
  const { b, spec } = layer;
  const { names, biases, headDim } = spec;
  const project = (name: string, path: string, heads: number, normPath?: string): Value => {
    const rows = layer.linear(path, x, biases.qkv);
    const split = b.add('reshape', [rows], { dims: ['batch', 'sequence', heads, headDim] as Dim[] }, `${name}.split`);
    const normed = normPath !== undefined && spec.qkNorm ? layer.norm(normPath, split) : split;
    return b.add('transpose', [normed], { perm: [0, 2, 1, 3] }, `${name}.heads`);
  };
  return {
    q: project('q', names.q, spec.heads, names.qNorm),
    k: project('k', names.k, spec.kvHeads, names.kNorm),
    v: project('v', names.v, spec.kvHeads),
  };
}

/** GPT-NeoX: one projection whose output is, head by head, q, k and v. */
function fusedHeads(layer: LayerContext, x: Value): Heads {
  const { b, spec } = layer;
  const { heads, headDim, biases } = spec;
  const rows = layer.linear(spec.names.qkv!, x, biases.qkv);
  const split = b.add('reshape', [rows], { dims: ['batch', 'sequence', heads, 3 * headDim] as Dim[] }, 'heads');
  const turned = b.add('transpose', [split], { perm: [0, 2, 1, 3] }, 'heads');
  const part = (index: number, name: string) =>
    b.add('slice', [turned], { axis: 3, start: index * headDim, end: (index + 1) * headDim }, name);
  return { q: part(0, 'q'), k: part(1, 'k'), v: part(2, 'v') };
}

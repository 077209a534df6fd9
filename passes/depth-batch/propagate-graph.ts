import { graphBuilder } from '../../ir/builder.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import { formatType, sameType, tensor } from '../../ir/tensor-type.ts';
import { Refusal } from '../refusal.ts';
import type { Anatomy, LoopAnatomy } from './anatomy.ts';
import type { CacheLayer } from './cache-layers.ts';
import { rowRegion } from './row-region.ts';
import { rowView } from './row-view.ts';

/**
 * The graph of the keys and values that tokens would have at a depth if each layer there were given one hidden state.
 * @throws Refusal where it does not show what a layer's keys and values are made from
 */
export function propagateGraph(anatomy: Anatomy, loop: LoopAnatomy): Graph<'folded'> {
  const builder = graphBuilder(`${anatomy.name}.propagate`);
  const width = anatomy.last.type.dims[2]!;
  const hidden = builder.input('hidden', tensor(anatomy.last.type.dtype, ['n', width]));
  const depth = builder.input('depth', tensor('i64', ['n']));
  const positions = builder.input('position_ids', tensor('i64', ['n']));

  const state = (): Value => builder.add('reshape', [hidden], { dims: ['n', 1, width] }, 'hidden');
  const column = builder.inScope('rotary', () =>
    builder.add('reshape', [positions], { dims: ['n', 1] }, 'position_ids'),
  );
  const rows = rowView({ count: 'n', tokens: 1, past: 0 }, { depth, position_ids: column }, (value) => value);
  const streams = new Set(
    anatomy.layers.block.flatMap((layer) => [
      residualOf(layer.key, anatomy, loop),
      residualOf(layer.value, anatomy, loop),
    ]),
  );
  const region = rowRegion(anatomy, { builder, rows, hidden: new Map([...streams].map((stream) => [stream, state])) });
  for (const layer of anatomy.layers.block) {
    for (const part of ['key', 'value'] as const) builder.output(`new_${part}.${layer.stored}`, entryOf(layer, part));
  }
  return builder.finish('folded');

  function entryOf(layer: CacheLayer, part: 'key' | 'value'): Value {
    const entry = region.get(layer[part]);
    const [, heads, , size] = entry.type.dims;
    return builder.add('reshape', [entry], { dims: ['n', heads!, size!] }, `new_${part}`);
  }
}

/** The hidden state that a cache entry is made from: what the first norm on the way up works on, if it is one. */
function residualOf(entry: Value, { makers }: Anatomy, loop: LoopAnatomy): Value {
  const isHidden = (value: Value) => sameType(value.type, loop.before.type);
  const found = new Set<Value>();
  const seen = new Set<Value>();
  const pending = [entry];
  for (let value = pending.pop(); value; value = pending.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    if (value === loop.before) {
      found.add(value);
      continue;
    }
    const op = makers.get(value);
    if (!op) continue;
    const normed = op.kind === 'rms_norm' || op.kind === 'layer_norm';
    if (normed && isHidden(op.operands[0]!)) found.add(op.operands[0]!);
    else pending.push(...op.operands);
  }
  const [residual, ...others] = found;
  if (!residual || others.length > 0) {
    const what = residual ? [residual, ...others].map(({ name }) => `%${name}`).join(' and ') : 'no norm of it';
    throw new Refusal(
      `%${entry.name} ${formatType(entry.type)} comes from ${what}, where one hidden state was expected, so that what an exit state would leave there is not known.`,
    );
  }
  return residual;
}

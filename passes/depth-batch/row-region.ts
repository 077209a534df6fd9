import type { GraphBuilder } from '../../ir/builder.ts';
import { addDims } from '../../ir/dims.ts';
import type { Value } from '../../ir/graph.ts';
import type { Anatomy } from './anatomy.ts';
import { type Region, type RegionOptions, region } from './region.ts';
import { attentionMask, type RowView } from './row-view.ts';

export interface RowRegionOptions {
  readonly builder: GraphBuilder;
  readonly rows: RowView;
  /** What stands for hidden states of the decoder, made when asked for. */
  readonly hidden?: ReadonlyMap<Value, () => Value>;
  /** All rows, from which the tables of rotations are taken; by default these rows make their own. */
  readonly tables?: Region;
  readonly attend?: RegionOptions['attend'];
}

/** Copies what a decoder computes for some rows of a step: its inputs are what is known of these rows. */
export function rowRegion(anatomy: Anatomy, { builder, rows, hidden, tables, attend }: RowRegionOptions): Region {
  const { inputs, sizes } = anatomy;
  const total = addDims(rows.past, rows.tokens);
  const rotations = new Set(anatomy.ops.flatMap((op) => (op.kind === 'rotary' ? op.operands.slice(1) : [])));
  return region(anatomy, {
    builder,
    sizes: new Map([
      [sizes.batch, rows.count],
      [sizes.sequence, rows.tokens],
      [sizes.past, rows.past],
    ]),
    given(value) {
      const replaced = hidden?.get(value);
      if (replaced) return replaced();
      if (tables && rotations.has(value)) return builder.inScope('rotary', () => rows.take(tables.get(value)));
      if (inputs.get(value.name) !== value) return undefined;
      if (value.name === 'attention_mask') return rows.fact('past_length') && attentionMask(builder, rows, total);
      return value.name === 'input_ids' || value.name === 'position_ids' ? rows.fact(value.name) : undefined;
    },
    depth: anatomy.loop && rows.fact('depth'),
    attend,
  });
}

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
  readonly attend?: RegionOptions['attend'];
}

/** Copies what a decoder computes for some rows of a step: its inputs are what is known of these rows. */
export function rowRegion(anatomy: Anatomy, { builder, rows, hidden, attend }: RowRegionOptions): Region {
  const { inputs, sizes } = anatomy;
  const total = addDims(rows.past, rows.tokens);
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
      if (inputs.get(value.name) !== value) return undefined;
      if (value.name === 'attention_mask') return rows.fact('past_length') && attentionMask(builder, rows, total);
      return value.name === 'input_ids' || value.name === 'position_ids' ? rows.fact(value.name) : undefined;
    },
    depth: anatomy.loop && rows.fact('depth'),
    attend,
  });
}

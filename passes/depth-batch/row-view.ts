import type { GraphBuilder } from '../../ir/builder.ts';
import type { Dim } from '../../ir/dims.ts';
import type { Value } from '../../ir/graph.ts';

/** What a step is told of every row: integers, rows first. */
export type RowFact = 'input_ids' | 'depth' | 'position_ids' | 'past_length';

/** Some of a step's rows, and what is known of them. */
export interface RowView {
  readonly count: Dim;
  /** Tokens of each row. */
  readonly tokens: Dim;
  /** Places that the rows' pages have. */
  readonly past: Dim;
  /** What a step is told of these rows; undefined where it is told nothing of the kind. */
  readonly fact: (name: RowFact) => Value | undefined;
  /** These rows' entries of a value of all rows. */
  readonly take: (value: Value) => Value;
}

/**
 * A view of the rows that `take` takes. Nothing is taken before somebody asks, and nothing twice.
 * @param facts of all rows
 */
export function rowView(
  size: Pick<RowView, 'count' | 'tokens' | 'past'>,
  facts: Partial<Readonly<Record<RowFact, Value>>>,
  take: (value: Value) => Value,
): RowView {
  const taken = new Map<Value, Value>();
  const takeOnce = (value: Value): Value => {
    const known = taken.get(value) ?? take(value);
    taken.set(value, known);
    return known;
  };
  return { ...size, fact: (name) => facts[name] && takeOnce(facts[name]), take: takeOnce };
}

/**
 * The attention mask of rows whose past lies in pages, i64 [rows, past + tokens]: 1 for the `past_length` entries that a
 * row has and for its new tokens, 0 for what is left of its pages.
 */
export function attentionMask(builder: GraphBuilder, { count, past, fact }: RowView, total: Dim): Value {
  return builder.inScope('mask', () => {
    const columns = builder.add('iota', [], { size: total }, 'columns');
    const length = builder.add('reshape', [fact('past_length')!], { dims: [count, 1] }, 'past_length');
    const kept = builder.add('less', [columns, length], {}, 'kept');
    const fresh = builder.add('less_equal', [builder.add('size', [], { of: past }, 'places'), columns], {}, 'fresh');
    return builder.add('cast', [builder.add('or', [kept, fresh], {}, 'attended')], { to: 'i64' }, 'attention_mask');
  });
}

import { type GraphBuilder, graphBuilder } from '../../ir/builder.ts';
import { type Dim, multiplyDims } from '../../ir/dims.ts';
import type { Graph, OpOf, Value } from '../../ir/graph.ts';
import { additions } from '../additions.ts';
import { addConfidence, type Confidence } from '../insert-exit-heads/confidence.ts';
import type { Anatomy } from './anatomy.ts';
import { rowRegion } from './row-region.ts';
import { type RowView, rowView } from './row-view.ts';
import { type RowGroup, type StepInputs, stepInputs } from './step-inputs.ts';

export interface StepOptions {
  /** Positions of a page. */
  readonly pageSize: number;
  /** In how many groups of rows the block attends, each with a page table of its own. */
  readonly groups: number;
  readonly confidence: Confidence;
}

/**
 * The graph of a step.
 * @throws Refusal where something of the decoder cannot be said of rows at different depths
 */
export function stepGraph(anatomy: Anatomy, options: StepOptions): Graph<'folded'> {
  const builder = graphBuilder(anatomy.name);
  const inputs = stepInputs(builder, anatomy, options);
  const { loop, layers } = anatomy;
  const { all, hidden } = inputs;

  /** What an attention becomes whose rows are in these groups. */
  const attendIn = (groups: readonly RowGroup[]) => {
    // A mask depends on what is known of the rows alone, so each group has its own, as wide as its pages.
    const masks = groups.map(({ rows }) => rowRegion(anatomy, { builder, rows }));
    return (op: OpOf<'attention'>, q: Value, key: Value, value: Value): Value => {
      const pages = inputs.pages.get(layers.readBy.get(op)!)!;
      const tables = groups.flatMap(({ pageTable }, i) => [pageTable, masks[i]!.get(op.operands[3]!)]);
      const operands = [q, key, value, pages.key, pages.value, ...tables] as const;
      return builder.add('paged_attention', operands, { scale: op.attrs.scale }, op.results[0]!.name);
    };
  };
  const boundary = (rows: RowView): readonly RowGroup[] => [{ rows, pageTable: rows.take(inputs.boundaryTable!) }];
  const newEntries = new Map<Value, Value>();
  const keep = (
    part: readonly { readonly key: Value; readonly value: Value }[],
    get: (value: Value) => Value,
  ): void => {
    for (const { key, value } of part) for (const entry of [key, value]) newEntries.set(entry, get(entry));
  };

  const { entering, leaving } = inputs;
  // Rows that are listed may be none, which a table of rotations must not be.
  const tables = rowRegion(anatomy, { builder, rows: all });
  let before: Value | undefined;
  if (entering) {
    const prelude = rowRegion(anatomy, {
      builder,
      rows: entering.rows,
      tables,
      attend: attendIn(boundary(entering.rows)),
    });
    const entered = prelude.get(loop!.first);
    keep(layers.prelude, prelude.get);
    before = builder.inScope('prelude', () => builder.add('put_rows', [hidden, entering.list, entered], {}, 'hidden'));
  } else if (loop) {
    const embedded = rowRegion(anatomy, { builder, rows: all }).get(loop.first);
    before = builder.inScope('embed', () => hiddenAtDepth(builder, all, embedded, hidden));
  }

  const block = rowRegion(anatomy, {
    builder,
    rows: all,
    ...(loop && { hidden: new Map([[loop.before, () => before!]]) }),
    attend: attendIn(inputs.groups),
  });
  const behind = block.get(anatomy.behind);
  keep(layers.block, block.get);

  let final = behind;
  if (leaving) {
    const coda = rowRegion(anatomy, {
      builder,
      rows: leaving.rows,
      tables,
      hidden: new Map([[anatomy.last, () => builder.inScope('coda', () => leaving.rows.take(behind))]]),
      attend: attendIn(boundary(leaving.rows)),
    });
    const left = coda.get(anatomy.final);
    keep(layers.coda, coda.get);
    final = builder.inScope('coda', () => builder.add('put_rows', [behind, leaving.list, left], {}, 'hidden'));
  }

  const logits = headLogits(builder, anatomy, inputs, final);
  builder.output('hidden.out', behind);
  for (const { key, value, stored } of [...layers.prelude, ...layers.block, ...layers.coda]) {
    builder.output(`new_key.${stored}`, newEntries.get(key)!);
    builder.output(`new_value.${stored}`, newEntries.get(value)!);
  }
  builder.output('logits', logits);
  return withChoice(builder.finish('folded'), logits, options.confidence);
}

/** Rows at depth 0 start from their tokens, others from where the loop before left them. */
function hiddenAtDepth(builder: GraphBuilder, { count, fact }: RowView, embedded: Value, hidden: Value): Value {
  const starts = builder.add('equal', [fact('depth')!, builder.constant('i64', 0)], {}, 'starts');
  const wide = builder.add('reshape', [starts], { dims: [count, 1, 1] }, 'starts');
  return builder.add('where', [wide, embedded, hidden], {}, 'hidden');
}

/** Final norm and head for the tokens of `head_rows`, [heads, vocab]. */
function headLogits(builder: GraphBuilder, anatomy: Anatomy, { all, headRows }: StepInputs, final: Value): Value {
  const width = final.type.dims[2]!;
  const flat: Dim[] = [multiplyDims(all.count, all.tokens), width];
  const asked = (): Value =>
    builder.inScope('heads', () => {
      const tokens = builder.add('reshape', [final], { dims: flat }, 'hidden.tokens');
      const found = builder.add('gather', [tokens, headRows], { axis: 0 }, 'hidden.heads');
      return builder.add('reshape', [found], { dims: ['heads', 1, width] }, 'hidden.heads');
    });
  const rows = rowView({ count: 'heads', tokens: 1, past: 0 }, {}, (value) => value);
  const tail = rowRegion(anatomy, { builder, rows, hidden: new Map([[anatomy.final, asked]]) });
  const logits = tail.get(anatomy.logits);
  const dims = ['heads', logits.type.dims.at(-1)!];
  return builder.inScope('heads', () => builder.add('reshape', [logits], { dims }, 'logits'));
}

/** `graph` with how sure it is of each of its logits, and which is the largest. */
function withChoice(graph: Graph<'folded'>, logits: Value, kind: Confidence): Graph<'folded'> {
  const add = additions(graph);
  const ops = [...graph.ops];
  const next = add.op('arg_max', [logits], {}, 'confidence', 'next_token');
  ops.push(next);
  const confidence = addConfidence(kind, logits, add, 'confidence', ops, next.results[0]!);
  return {
    ...graph,
    weights: add.weights(),
    ops,
    outputs: [
      ...graph.outputs,
      { name: 'confidence', value: confidence },
      { name: 'next_token', value: next.results[0]! },
    ],
  };
}

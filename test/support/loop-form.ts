import type { SourceModel } from '../../compiler/read/source-model.ts';
import { evaluateDim } from '../../ir/dims.ts';
import type { Graph } from '../../ir/graph.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { foldLoop } from '../../passes/fold-loop.ts';
import { type InsertExitHeadsOptions, insertExitHeads } from '../../passes/insert-exit-heads.ts';
import { removeDeadCode } from '../../passes/remove-dead-code.ts';
import { stackCache } from '../../passes/stack-cache.ts';

const silent = { note: () => {} };

/** The loop form of a source graph as far as exits are concerned. */
export function loopForm(
  source: Graph<'unrolled'>,
  { recursion, exits }: Pick<SourceModel, 'recursion' | 'exits'>,
  options: Partial<Extract<InsertExitHeadsOptions, { mode: 'in-loop' }>> = {},
): Graph<'folded'> {
  const stacked = stackCache(recursion).run(foldLoop.run(source, silent), silent);
  const defaults = { mode: 'in-loop', after: exits?.after ?? [], confidence: exits?.confidence ?? 'top1' } as const;
  return removeDeadCode.run(insertExitHeads({ ...defaults, ...options }).run(stacked, silent), silent);
}

/** Rows of a batch, of different lengths, behind what an earlier pass has left. */
export interface Batch {
  readonly tokens: readonly (readonly number[])[];
  readonly padding: 'left' | 'right';
  readonly past?: {
    readonly outputs: ReadonlyMap<string, Tensor>;
    /** Attention mask of everything so far, by row. */
    readonly mask: readonly (readonly number[])[];
  };
}

export interface PaddedBatch {
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly mask: readonly (readonly number[])[];
  /** By row: columns of its own tokens among the new ones. */
  readonly columns: readonly (readonly number[])[];
}

/** Inputs of a graph of the loop form. */
export function padBatch(
  graph: Pick<Graph, 'inputs'>,
  { tokens, padding, past }: Batch,
  leave: { readonly maxLoops: number; readonly threshold: number },
): PaddedBatch {
  const sequence = Math.max(...tokens.map((row) => row.length));
  const columns = tokens.map((row) => row.map((_, t) => (padding === 'left' ? sequence - row.length + t : t)));
  const rows = (fill: (row: number, column: number) => number) =>
    tokens.map((_, r) => Array.from({ length: sequence }, (_, c) => fill(r, c)));
  const place = (r: number, c: number) => columns[r]!.indexOf(c);
  const pastMask = tokens.map((_, r) => past?.mask[r] ?? []);
  const lengths = pastMask.map((row) => row.filter((x) => x === 1).length);
  const mask = rows((r, c) => (place(r, c) >= 0 ? 1 : 0)).map((row, r) => [...pastMask[r]!, ...row]);
  // What stands at padding must not matter: a token, a position that mean something.
  const known = new Map<string, readonly (readonly number[])[]>([
    ['input_ids', rows((r, c) => tokens[r]![place(r, c)] ?? 5)],
    ['attention_mask', mask],
    ['position_ids', rows((r, c) => (place(r, c) >= 0 ? lengths[r]! + place(r, c) : 3))],
  ]);
  const sizes = new Map([
    ['batch', tokens.length],
    ['sequence', sequence],
    ['past', pastMask[0]!.length],
  ]);
  const inputs = graph.inputs.map(({ name, type }): readonly [string, Tensor] => {
    const shape = type.dims.map((dim) => evaluateDim(dim, sizes));
    if (name === 'max_loops') return [name, makeTensor('i64', [], [leave.maxLoops])];
    if (name === 'exit_threshold') return [name, makeTensor('f32', [], [leave.threshold])];
    const given = known.get(name);
    if (given) return [name, makeTensor(type.dtype, shape, given.flat())];
    return [name, past?.outputs.get(name.replace('past_key_values', 'present')) ?? makeTensor(type.dtype, shape)];
  });
  return { inputs: new Map(inputs), mask, columns };
}

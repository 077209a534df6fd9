import { expect } from 'vitest';
import type { Confidence, SourceModel } from '../../compiler/read/source-model.ts';
import type { Graph } from '../../ir/graph.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { expectClose } from './expect-close.ts';
import { type PaddedBatch, padBatch } from './loop-form.ts';
import { type LoopReference, loopReference, type ReferencePass, type SequenceCache } from './loop-reference.ts';
import type { ReferenceModel } from './reference-model.ts';

/** Prompts of different lengths, then two more tokens for each. */
export function turns({ reference }: ReferenceModel): readonly (readonly (readonly number[])[])[] {
  const ids = reference.get('input_ids')!;
  const width = ids.shape[1]!;
  const row = (r: number) => Array.from(ids.data.subarray(r * width, (r + 1) * width));
  const [first, second] = [row(0), row(Math.min(1, ids.shape[0]! - 1))];
  return [
    [first.slice(0, 6), second.slice(0, 3), second.slice(1, 2)],
    [first.slice(6, 8), second.slice(3, 5), second.slice(2, 4)],
  ];
}

/** A threshold with this part of all confidences below it, as far as possible from any of them. */
export function thresholdAt(
  part: number,
  reference: LoopReference,
  prompts: readonly (readonly number[])[],
  loops: number,
  confidence: Confidence,
): number {
  const all = prompts.flatMap((row) =>
    reference
      .run(row, undefined, { maxLoops: loops, threshold: 1, confidence })
      .confidences.flatMap((list) => list.slice(0, -1)),
  );
  const sorted = all.toSorted((a, b) => a - b);
  const at = Math.max(1, Math.floor(part * sorted.length));
  return (sorted[at - 1]! + sorted[at]!) / 2;
}

/** All loops but the last, behind which nothing is left to decide. */
export function everyLoop({ recursion }: SourceModel): readonly number[] {
  return Array.from({ length: recursion.loops - 1 }, (_, i) => i + 1);
}

export interface ExitCase {
  readonly padding: 'left' | 'right';
  readonly after: readonly number[];
  readonly confidence: Confidence;
  readonly maxLoops: number;
  readonly threshold: number;
  /** Of logits and caches, relative to the largest. */
  readonly tolerance: number;
}

/**
 * Runs a graph of the loop form on all prompts, each turn behind the one before; fails where exits, logits or caches
 * differ from what the plain reference gives for each row alone. Returns the loops behind which tokens left.
 */
export async function expectExitsLikeReference(
  model: SourceModel,
  form: Pick<Graph, 'inputs'>,
  run: (inputs: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>,
  prompts: readonly (readonly (readonly number[])[])[],
  { padding, tolerance, ...leave }: ExitCase,
): Promise<readonly number[]> {
  const plain = loopReference(model);
  let past: { outputs: ReadonlyMap<string, Tensor>; mask: readonly (readonly number[])[] } | undefined;
  let caches: readonly (SequenceCache | undefined)[] = [];
  const exits: number[] = [];
  for (const tokens of prompts) {
    const batch = padBatch(form, { tokens, padding, ...(past ? { past } : {}) }, leave);
    const outputs = await run(batch.inputs);
    const expected = tokens.map((row, r) => plain.run(row, caches[r], leave));
    expectLikeReference(model, outputs, batch, expected, tolerance);
    exits.push(...expected.flatMap(({ exitLoops }) => exitLoops));
    past = { outputs, mask: batch.mask };
    caches = expected.map(({ cache }) => cache);
  }
  return exits;
}

/** Fails where a row's own tokens differ from what the reference gives for the row alone. */
function expectLikeReference(
  model: SourceModel,
  outputs: ReadonlyMap<string, Tensor>,
  { columns, mask }: PaddedBatch,
  expected: readonly ReferencePass[],
  tolerance: number,
): void {
  const { spec } = model;
  const logits = outputs.get('logits')!;
  const exitLoop = outputs.get('exit_loop')!;
  const sequence = logits.shape[1]!;
  const vocab = logits.shape[2]!;
  const left = columns.map((own, r) => own.map((c) => exitLoop.data[r * sequence + c]));
  expect(left, 'loops behind which tokens left').toEqual(expected.map(({ exitLoops }) => exitLoops));
  const found: number[] = [];
  const wanted: number[] = [];
  columns.forEach((own, r) => {
    own.forEach((c, t) => {
      const at = (r * sequence + c) * vocab;
      found.push(...logits.data.subarray(at, at + vocab));
      wanted.push(...expected[r]!.logits[t]!);
    });
  });
  const flat = (values: readonly number[]) => makeTensor('f32', [values.length], values);
  expectClose(flat(found), flat(wanted), tolerance, 'logits of all tokens');

  for (const [layer, slots] of expected[0]!.cache.entries()) {
    for (const part of ['keys', 'values'] as const) {
      const present = outputs.get(`present.${layer}.${part === 'keys' ? 'key' : 'value'}`)!;
      const places = mask.map((row) => row.flatMap((x, column) => (x === 1 ? [column] : [])));
      const total = mask[0]!.length;
      slots.forEach((_, depth) => {
        const [a, b]: [number[], number[]] = [[], []];
        places.forEach((columnsOfRow, r) => {
          columnsOfRow.forEach((column, position) => {
            for (let head = 0; head < spec.kvHeads; head++) {
              const row = (depth * mask.length + r) * spec.kvHeads + head;
              const at = (row * total + column) * spec.headDim;
              a.push(...present.data.subarray(at, at + spec.headDim));
              const entry = (expected[r]!.cache as SequenceCache)[layer]![depth]![part][position]!;
              b.push(...entry.subarray(head * spec.headDim, (head + 1) * spec.headDim));
            }
          });
        });
        expectClose(flat(a), flat(b), tolerance, `${part} of layer ${layer} at depth ${depth}`);
      });
    }
  }
}

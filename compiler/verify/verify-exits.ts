import type { PackageManifest } from '../../files/manifest.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import type { SourceModel } from '../read/source-model.ts';
import { type Decoder, type Run, type Stepper, startRun } from './call.ts';
import { compareOutputs, type Outputs } from './compare-outputs.ts';
import { confidenceOf } from './confidence-of.ts';
import type { SourceDecoders } from './source-decoder.ts';
import type { Tally } from './tally.ts';
import type { Tolerance } from './tolerance.ts';

export interface VerifyExitsOptions {
  readonly manifest: PackageManifest;
  readonly decoder: Decoder;
  readonly model: SourceModel;
  readonly source: SourceDecoders;
  readonly run: Run;
  readonly tolerance: Tolerance;
  readonly tally: Tally;
  readonly onRun: (name: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** Thresholds that are tried before giving up. */
const tried = 4;

/**
 * Compares a package of the loop form with its model in float64 under a threshold at which some tokens leave early.
 * The threshold is chosen so that rounding cannot decide: a little more and a little less let every token leave where
 * it does.
 * @returns the threshold; undefined when there is none that is clear
 */
export async function verifyExits(options: VerifyExitsOptions): Promise<number | undefined> {
  const { manifest, decoder, source, tolerance, tally, onRun, signal } = options;
  // In a step graph a token starts when the one before it has left, and sees what that one's coda made of the state it
  // left with. Together they would see each other's coda behind every loop, as in the loop form.
  const alone = manifest.recursion.coda > 0 && manifest.cache.pageSize !== undefined;
  const run = alone ? byColumn(options.run) : options.run;
  const { confidences, scale } = await firstConfidences(options);
  // A probability changes by at most twice as much as the logits do.
  const band = 2 * tolerance('logits') * scale;
  for (const threshold of gaps(confidences, 2 * band).slice(0, tried)) {
    signal?.throwIfAborted();
    onRun(`${run.name}, looking for a threshold near ${threshold.toFixed(3)}`);
    const expected = await outputsAt(source.withExits(), run, threshold - band);
    const other = await outputsAt(source.withExits(), run, threshold + band);
    if (!expected.every((outputs, i) => sameExits(outputs, other[i]!))) continue;
    const name = `${run.name}, exit_threshold ${threshold}`;
    onRun(name);
    const steps = startRun(decoder, settings(manifest.recursion.loops, threshold));
    for (const [i, call] of run.calls.entries()) {
      const actual = await steps.step(call);
      const made = { run: `${name}, call ${i + 1}`, actual, attended: steps.attended(), tolerance };
      compareOutputs(tally, manifest, made, expected[i]!);
    }
    return threshold;
  }
  return undefined;

  function settings(loops: number, threshold: number): ReadonlyMap<string, Tensor> {
    return new Map([
      ['max_loops', makeTensor('i64', [], [loops])],
      ['exit_threshold', makeTensor('f32', [], [threshold])],
    ]);
  }

  async function outputsAt(exits: Decoder, { calls }: Run, threshold: number): Promise<readonly Outputs[]> {
    const steps = startRun(exits, settings(manifest.recursion.loops, threshold));
    const outputs: Outputs[] = [];
    for (const call of calls) outputs.push(hidePadding(await steps.step(call), steps));
    return outputs;
  }
}

/** The same tokens, one column a call. */
function byColumn({ name, calls }: Run): Run {
  const column = (all: Float64Array, width: number, at: number) => all.filter((_, i) => i % width === at);
  return {
    name,
    calls: calls.flatMap(({ batch, sequence, ids, attended }) =>
      Array.from({ length: sequence }, (_, t) => ({
        ...{ batch, sequence: 1, ids: column(ids, sequence, t), attended: column(attended, sequence, t) },
      })),
    ),
  };
}

/** Confidence of every token behind the first exit, and the largest magnitude of the logits there. */
async function firstConfidences({ model, source, run }: VerifyExitsOptions) {
  const [first] = model.exits?.after ?? [];
  const confidences: number[] = [];
  let scale = 0;
  if (first === undefined) return { confidences, scale };
  const steps = startRun(source.after(first));
  for (const call of run.calls) {
    const logits = (await steps.step(call)).get('logits')!;
    const vocabulary = logits.shape[2]!;
    call.attended.forEach((token, i) => {
      if (token === 0) return;
      const row = logits.data.subarray(i * vocabulary, (i + 1) * vocabulary);
      confidences.push(confidenceOf(model.exits?.confidence ?? 'top1', row));
      scale = row.reduce((most, x) => Math.max(most, Math.abs(x)), scale);
    });
  }
  return { confidences, scale };
}

/** Thresholds in the middle of the widest gaps between confidences, so that some are above and some below. */
function gaps(confidences: readonly number[], atLeast: number): readonly number[] {
  const sorted = confidences.toSorted((a, b) => a - b);
  return sorted
    .slice(1)
    .map((upper, i) => ({ middle: Math.fround((sorted[i]! + upper) / 2), width: upper - sorted[i]! }))
    .filter(({ width, middle }) => width > atLeast && middle < 1)
    .toSorted((a, b) => b.width - a.width)
    .map(({ middle }) => middle);
}

/** What becomes of padding is nobody's business; here it would make two runs look different. */
function hidePadding(outputs: Outputs, steps: Stepper): Outputs {
  const exits = outputs.get('exit_loop')!;
  const [, sequence] = exits.shape as [number, number];
  const data = exits.data.map((loop, i) => {
    const row = steps.attended()[Math.floor(i / sequence)]!;
    return row[row.length - sequence + (i % sequence)] === 1 ? loop : 0;
  });
  return new Map([...outputs, ['exit_loop', { ...exits, data }]]);
}

function sameExits(a: Outputs, b: Outputs): boolean {
  const [left, right] = [a.get('exit_loop')!.data, b.get('exit_loop')!.data];
  return left.every((loop, i) => loop === right[i]);
}

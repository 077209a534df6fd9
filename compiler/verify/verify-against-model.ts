import type { Diagnostic } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import { storedCount, storedOrder } from '../architectures/layer-places.ts';
import type { SourceModel } from '../read/source-model.ts';
import { type Decoder, startRun } from './call.ts';
import { compareLogits, compareOutputs, outputsOfForm } from './compare-outputs.ts';
import { type RunPlan, randomRuns } from './random-runs.ts';
import { sourceDecoders } from './source-decoder.ts';
import type { Tally } from './tally.ts';
import { measureTolerance, touchyModel } from './tolerance.ts';
import { verifyExits } from './verify-exits.ts';

export interface AgainstModelOptions {
  readonly manifest: PackageManifest;
  readonly decoder: Decoder;
  readonly model: SourceModel;
  readonly seed: number;
  readonly tally: Tally;
  readonly onRun: (name: string) => void;
  readonly signal: AbortSignal | undefined;
  /** Fewer runs, where every call is dear: all of them at full depth, and under a threshold those of `exits`. */
  readonly few?: FewRuns | undefined;
  /** Unit roundoff of who runs the package, where it is more than that of the package's precision. */
  readonly roundoff?: number | undefined;
}

/** What to run where every call takes seconds. */
export interface FewRuns {
  readonly runs: readonly RunPlan[];
  /** Of two rows or more: tokens of one row may all be as sure as each other. */
  readonly exits: readonly RunPlan[];
  /** No row gets longer than this. */
  readonly maxPositions: number;
}

/** Beyond this many weights (unrolled) the interpreter takes seconds a token. */
const large = 5e7;

/**
 * Compares a package with the model in float64, on random tokens: all outputs of every call, in the loop form also with
 * fewer loops than the model has, which is a shallower model, and with tokens that leave early. Rejects with the
 * signal's reason when it aborts.
 * @returns notes on what could not be compared
 */
export async function verifyAgainstModel(options: AgainstModelOptions): Promise<readonly Diagnostic[]> {
  const { manifest, decoder, model, seed, tally, signal, onRun, few, roundoff = 0 } = options;
  const { loops } = manifest.recursion;
  const { vocabSize } = model.spec;
  const maxPositions = few?.maxPositions ?? model.spec.maxPositions;
  const effort = isLarge(model) ? 'brief' : 'full';
  const source = sourceDecoders(model);
  const runs = randomRuns({ seed, vocabSize, maxPositions, effort: few?.runs ?? effort });
  if (manifest.precision.compute !== 'f32' || roundoff > 0) onRun('what rounding may do');
  const tolerance = await measureTolerance(manifest, model, source, runs, signal, roundoff);
  for (const run of runs) {
    for (const limit of manifest.form === 'loop' && few === undefined ? limits(loops, effort) : [loops]) {
      const name = limit === loops ? run.name : `${run.name}, max_loops ${limit}`;
      onRun(name);
      const steps = startRun(decoder, loopSettings(limit));
      const expected = startRun(source.after(limit));
      const exits = exitLogitsOf(manifest).map((n) => ({ n, steps: startRun(source.after(n)) }));
      for (const [i, call] of run.calls.entries()) {
        signal?.throwIfAborted();
        const actual = await steps.step(call);
        const made = { run: `${name}, call ${i + 1}`, actual, attended: steps.attended(), tolerance };
        compareOutputs(tally, manifest, made, outputsOfForm(manifest, await expected.step(call), limit));
        for (const { n, steps: shallower } of exits) {
          // With a coda the earlier tokens' coda cache is that of the loop they left after, which the graph has not.
          if (manifest.recursion.coda > 0 && i > 0) continue;
          const outputs = await shallower.step(call);
          compareLogits(tally, `exit_logits.${n}`, made, outputs.get('logits')!);
        }
      }
    }
  }
  const notes = touchyModel(tolerance, manifest);
  if (manifest.form !== 'loop' || model.exits === undefined) return notes;
  const exits = few === undefined ? runs : randomRuns({ seed, vocabSize, maxPositions, effort: few.exits });
  for (const run of exits.filter(({ calls }) => calls[0]!.batch > 1)) {
    if ((await verifyExits({ ...options, tolerance, source, run })) !== undefined) return notes;
  }
  return [...notes, noThreshold];
}

const noThreshold: Diagnostic = {
  severity: 'note',
  code: 'no-clear-threshold',
  message: 'No threshold was found at which some tokens leave early and rounding has no say in it, so none was tried.',
  hint: 'Another --seed draws other tokens.',
};

/** Inputs of the loop form under which every token leaves after `loops` loops; other forms have no such inputs. */
export function loopSettings(loops: number): ReadonlyMap<string, Tensor> {
  return new Map([
    ['max_loops', makeTensor('i64', [], [loops])],
    ['exit_threshold', makeTensor('f32', [], [1])],
  ]);
}

/** Loops that the package gives the logits behind, beside the last. */
export function exitLogitsOf({ form, exits }: PackageManifest): readonly number[] {
  return form === 'unrolled' && exits?.logits ? exits.after : [];
}

/** All loops first; then one, and of the rest as many as there is time for. */
function limits(loops: number, effort: 'full' | 'brief'): readonly number[] {
  const fewer = Array.from({ length: loops - 1 }, (_, i) => i + 1);
  return [loops, ...(effort === 'full' && fewer.length <= 4 ? fewer : fewer.slice(0, 1))];
}

/** Whether the interpreter takes seconds a token. */
export function isLarge(model: SourceModel): boolean {
  return weightsOf(model) > large;
}

function weightsOf({ tensors, recursion }: SourceModel): number {
  const count = [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((n, d) => n * d, 1), 0);
  return count * Math.max(recursion.loops, storedOrder(recursion).length / storedCount(recursion));
}

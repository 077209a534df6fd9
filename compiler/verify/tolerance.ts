import type { Diagnostic } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import type { SourceModel } from '../read/source-model.ts';
import { type Run, startRun } from './call.ts';
import { outputsOfForm } from './compare-outputs.ts';
import { compareTensors } from './compare-tensors.ts';
import { type SourceDecoders, sourceDecoders } from './source-decoder.ts';

/** How far an output may be off, in parts of the largest magnitude of the reference output. */
export type Tolerance = (output: string) => number;

/** What float32 is held to: some hundred times what a sum in another order changes. */
const float32Tolerance = 1e-4;

/**
 * Half the distance from 1 to the next number: what one rounding may change a number by, in parts of it. TF32 has the
 * digits of f16. Six decimal digits are what trtexec prints of a number.
 */
export const unitRoundoff = { f16: 2 ** -11, bf16: 2 ** -8, tf32: 2 ** -11, sixDigits: 5e-6 } as const;

/** How many times what was measured is allowed. */
const margin = 6;

/** An output that is off by as much as it is large says nothing any more. */
const largest = 1;

/**
 * Measures what rounding to 16 bits may do to a model.
 *
 * Numbers computed with rounding are close to what exact arithmetic gives for slightly other weights, so this asks how
 * far outputs move, in float64, when every weight is off by at random up to one unit roundoff u (2⁻¹¹ of its size for
 * f16, 2⁻⁸ for bf16). Depth, width and how touchy the model is are all in that number P: 2 u for a trained model of six
 * layers, 80 u for random weights that are too large. Packages without a fault were seen at up to 4 P of an output; 6 P
 * are allowed, and never less than 6 u. Float32 is held to 1e-4, which is far more than it needs.
 *
 * The same goes for whoever rounds float32 on the way: an engine that computes products in TF32 rounds their factors,
 * weights among them, to u; one whose outputs are printed and read back rounds hidden states and caches.
 * @param source the model in float64
 * @param runs what will be compared; the same tokens, because how touchy a model is depends on them
 * @param roundoff unit roundoff of who runs the package, where it is more than that of the package's precision
 */
export async function measureTolerance(
  manifest: PackageManifest,
  model: SourceModel,
  source: SourceDecoders,
  runs: readonly Run[],
  signal: AbortSignal | undefined,
  roundoff = 0,
): Promise<Tolerance> {
  const unit = unitOf(manifest, roundoff);
  if (unit === 0) return () => float32Tolerance;
  const floor = manifest.precision.compute === 'f32' ? float32Tolerance : 0;
  const { loops } = manifest.recursion;
  const exact = source.after(loops);
  const moved = sourceDecoders(model, { weightsOffBy: unit }).after(loops);
  const farthest = new Map<string, number>();
  for (const run of runs) {
    const [exactly, about] = [startRun(exact), startRun(moved)];
    for (const call of run.calls) {
      signal?.throwIfAborted();
      const expected = outputsOfForm(manifest, await exactly.step(call), loops);
      const actual = outputsOfForm(manifest, await about.step(call), loops);
      for (const [name, tensor] of expected) {
        // Padding is compared as well: it is only larger or smaller than it should be, like everything else.
        const { maxAbs, scale } = compareTensors(actual.get(name)!, tensor, () => true, 0);
        if (scale > 0) farthest.set(name, Math.max(farthest.get(name) ?? 0, maxAbs / scale));
      }
    }
  }
  // One output's own number is a matter of luck too; a quarter of the worst one's is what it cannot fall below.
  const least = Math.max(unit, Math.max(...farthest.values()) / 4);
  return (output) => {
    const name = output.startsWith('exit_logits.') || output.startsWith('logits,') ? 'logits' : output;
    return Math.min(largest, Math.max(floor, margin * Math.max(farthest.get(name) ?? 0, least)));
  };
}

/** What to tell when so much is allowed that a package could be wrong and pass. */
export function touchyModel(tolerance: Tolerance, { precision }: PackageManifest): readonly Diagnostic[] {
  const allowed = tolerance('logits');
  if (allowed < 0.25) return [];
  const to = precision.compute === 'f32' ? 'TF32' : precision.compute;
  const message = `This model is so touchy that rounding to ${to} may change its logits by ${Math.round(allowed * 100)} % of the largest; that much had to be allowed.`;
  const hint = 'Verify it with --precision f32 as well, and see whether it still says what it should.';
  return [{ severity: 'warning', code: 'touchy-model', message, hint }];
}

/**
 * What rounding to 16 bits may do to a model that is not there to be measured: the errors of a dozen roundings per layer
 * add up like a random walk, and the largest of many outputs is some standard deviations out.
 */
export function estimateTolerance(manifest: PackageManifest, roundoff = 0): Tolerance {
  const { precision, recursion, config } = manifest;
  const unit = unitOf(manifest, roundoff);
  if (unit === 0) return () => float32Tolerance;
  const floor = precision.compute === 'f32' ? float32Tolerance : 0;
  const layers = recursion.prelude + recursion.block * recursion.loops + recursion.coda;
  const width = typeof config.hidden_size === 'number' ? config.hidden_size : 4096;
  const deviation = unit * Math.sqrt(12 * (layers + 1));
  const estimate = Math.min(largest, Math.max(floor, deviation * Math.sqrt(2 * Math.log(width))));
  return () => estimate;
}

/** 0 for float32, which nobody measures. */
function unitOf({ precision: { compute } }: PackageManifest, roundoff: number): number {
  return Math.max(roundoff, compute === 'f32' ? 0 : unitRoundoff[compute]);
}

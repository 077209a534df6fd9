import type { Diagnostic } from '../../files/diagnostics.ts';
import type { PackageManifest } from '../../files/manifest.ts';
import { makeTensor, type Tensor } from '../../ir/interpret/tensor.ts';
import type { SourceModel } from '../read/source-model.ts';
import { type Call, type Decoder, type OnRun, plainCall, startRun } from './call.ts';
import { compareChoices, compareLogits } from './compare-outputs.ts';
import type { Reference } from './read-reference.ts';
import { sourceDecoders } from './source-decoder.ts';
import type { Tally } from './tally.ts';
import { estimateTolerance, measureTolerance, touchyModel } from './tolerance.ts';
import { exitLogitsOf, loopSettings } from './verify-against-model.ts';
import type { Difference } from './verify-report.ts';

export interface AgainstReferenceOptions {
  readonly manifest: PackageManifest;
  readonly decoder: Decoder;
  readonly reference: Reference;
  /** The model that the numbers are of, to measure what rounding may do to it; undefined when it is not at hand. */
  readonly model: SourceModel | undefined;
  readonly tally: Tally;
  readonly onRun: OnRun;
  readonly signal: AbortSignal | undefined;
  /** Unit roundoff of who runs the package, where it is more than that of the package's precision. */
  readonly roundoff?: number | undefined;
  /** Compares what the prompt gives, and generates nothing: where every call takes seconds. */
  readonly promptOnly?: boolean | undefined;
}

/**
 * Compares a package with what somebody else computed: logits, logits behind exits, and greedy tokens by way of the
 * cache. Rejects with the signal's reason when it aborts.
 */
export async function verifyAgainstReference(options: AgainstReferenceOptions): Promise<readonly Diagnostic[]> {
  const { manifest, decoder, reference, model, tally, onRun, signal, roundoff = 0, promptOnly = false } = options;
  const { loops } = manifest.recursion;
  const prompt = callOf(reference.inputIds);
  const runs = [{ name: 'the prompt', calls: [prompt] }];
  const tolerance = model
    ? await measureTolerance(manifest, model, sourceDecoders(model), runs, signal, roundoff)
    : estimateTolerance(manifest, roundoff);
  onRun('the prompt');
  const steps = startRun(decoder, loopSettings(loops));
  const actual = await steps.step(prompt);
  const compared = { run: 'the prompt', actual, attended: steps.attended(), tolerance };
  compareLogits(tally, 'logits', compared, reference.logits);
  compareChoices(tally, manifest, compared, reference.logits);
  for (const n of exitLogitsOf(manifest)) {
    const expected = reference.exitLogits.get(n);
    if (expected) compareLogits(tally, `exit_logits.${n}`, compared, expected);
  }
  if (manifest.form === 'loop' && !promptOnly) {
    for (const [n, expected] of reference.exitLogits) {
      signal?.throwIfAborted();
      onRun(`the prompt with max_loops ${n}`);
      const shallow = await startRun(decoder, loopSettings(n)).step(prompt);
      const outputs = new Map([[`logits, max_loops ${n}`, shallow.get('logits') ?? makeTensor('f32', [0])]]);
      compareLogits(tally, `logits, max_loops ${n}`, { ...compared, actual: outputs }, expected);
    }
  }
  if (promptOnly) return touchyModel(tolerance, manifest);
  if (reference.generated) await compareGenerated(options, reference.generated, steps, actual, tolerance('logits'));
  const close = reference.generated !== undefined && isTooClose(reference, tolerance('logits'));
  return [...touchyModel(tolerance, manifest), ...(close ? [tooClose(manifest.precision.compute)] : [])];
}

function tooClose(precision: string): Diagnostic {
  return {
    severity: 'note',
    code: 'close-tokens',
    message: `Two best tokens of the reference are closer than what ${precision} may differ by, so "generated" need not agree in every token.`,
  };
}

/** Whether rounding alone could have chosen another token somewhere. */
function isTooClose({ logits, margin }: Reference, tolerance: number): boolean {
  const scale = logits.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return margin !== undefined && margin <= 2 * tolerance * scale;
}

async function compareGenerated(
  { reference, tally, onRun, signal }: AgainstReferenceOptions,
  generated: Tensor,
  steps: ReturnType<typeof startRun>,
  first: ReadonlyMap<string, Tensor>,
  tolerance: number,
): Promise<void> {
  const [batch, count] = generated.shape as [number, number];
  let outputs = first;
  let difference: Difference | undefined;
  let agreeing = 0;
  for (let i = 0; i < count; i++) {
    signal?.throwIfAborted();
    onRun('generate', i + 1, count);
    const tokens = greedy(outputs.get('logits')!, batch);
    tokens.forEach((token, b) => {
      const expected = generated.data[b * count + i]!;
      if (token === expected) agreeing++;
      else {
        const index = [b, i];
        difference ??= {
          output: 'generated',
          run: 'greedy generation',
          index,
          axes: ['batch', 'position'],
          actual: token,
          expected,
          allowed: 0,
          shapes: undefined,
        };
      }
    });
    // On with the reference's own tokens: one difference should not make all that follow differ.
    const next = Array.from({ length: batch }, (_, b) => [generated.data[b * count + i]!]);
    if (i + 1 < count) outputs = await steps.step(plainCall(next));
  }
  const farthest = agreeing === batch * count ? 0 : 1;
  const ok = farthest === 0 || isTooClose(reference, tolerance);
  const agreement = agreeing / (batch * count);
  tally.addReport(
    {
      name: 'generated',
      maxAbs: farthest,
      maxRel: farthest,
      tolerance: ok ? farthest : 0,
      argmaxAgreement: agreement,
      ok,
    },
    ok ? undefined : difference,
  );
}

/** The token with the largest logit in the last position of every row. */
function greedy({ shape, data }: Tensor, batch: number): readonly number[] {
  const [, sequence, vocabulary] = shape as [number, number, number];
  return Array.from({ length: batch }, (_, b) => {
    const start = ((b + 1) * sequence - 1) * vocabulary;
    let best = 0;
    for (let token = 1; token < vocabulary; token++) if (data[start + token]! > data[start + best]!) best = token;
    return best;
  });
}

function callOf({ shape, data }: Tensor): Call {
  const [batch, sequence] = shape as [number, number];
  return { batch, sequence, ids: data, attended: new Float64Array(batch * sequence).fill(1) };
}

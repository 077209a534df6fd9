import { exactly, type NamedProfile, type ProfilePolicy, type SizeRange, shareOfContext, sizeRange } from './policy.ts';
import { steadyState } from './steady-state.ts';

/**
 * Profiles of model.onnx of the form unrolled, by `batch`, `sequence` and `past`, of which attention_mask has the sum:
 * `decode`, `small` and `prefill` as in the form depth-batched.
 *
 * A prompt begins behind nothing, so `past` is 0 at least in `prefill`: the only size here that may be. TensorRT allows
 * it: conditions of IOptimizationProfile::setDimensions are 0 ≤ min ≤ opt ≤ max, in the headers of 8.6 to 11.1 alike
 * (7.0 refused it), and 11.1 was reported to build and run such a profile (pytorch/TensorRT#4665). Nobody here has seen
 * it. If an engine should not take it, one masked position of past does the same: a 0 in attention_mask.
 *
 * Ranges of a profile are independent, so at its end a chunk may stand behind a full context; `attention_mask` is then
 * longer than any sequence, which costs nothing but is a size that the engine has to be ready for.
 */
export function unrolledProfiles(policy: ProfilePolicy): readonly NamedProfile[] {
  const { maxRows, maxContext, prefillChunk } = policy;
  const { rows } = steadyState(policy);
  const smallRows = Math.min(maxRows, policy.smallRows);
  const mostPast = Math.max(1, maxContext - 1);
  const profile = (name: string, batch: SizeRange, sequence: SizeRange, leastPast: number): NamedProfile => {
    const past = Math.round(mostPast * shareOfContext(batch.opt, batch.opt));
    return {
      name,
      sizes: new Map([
        ['batch', batch],
        ['sequence', sequence],
        ['past', sizeRange(leastPast, Math.max(1, past), mostPast)],
      ]),
    };
  };
  return [
    profile('decode', sizeRange(1, rows, maxRows), exactly(1), 1),
    profile('small', sizeRange(1, 1, smallRows), exactly(1), 1),
    profile('prefill', sizeRange(1, 1, smallRows), sizeRange(1, prefillChunk, prefillChunk), 0),
  ];
}

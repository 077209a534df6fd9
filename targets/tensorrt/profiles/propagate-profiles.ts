import { type NamedProfile, type ProfilePolicy, sizeRange } from './policy.ts';
import { steadyState } from './steady-state.ts';

/**
 * Profiles of propagate.onnx, which a step is followed by when rows of it left early: `n` states, one for each depth that
 * a row skipped. A prompt runs all loops, so there is nothing to tune for its chunks; they are not in need of it.
 */
export function propagateProfiles(policy: ProfilePolicy): readonly NamedProfile[] {
  const { maxRows, smallRows, loops } = policy;
  const deepest = Math.max(1, loops - 1);
  const { skipped, meanLoops } = steadyState(policy);
  const ofOne = Math.max(1, Math.round(loops - meanLoops));
  const profile = (name: string, opt: number, rows: number): NamedProfile => ({
    name,
    sizes: new Map([['n', sizeRange(1, opt, rows * deepest)]]),
  });
  return [profile('decode', skipped, maxRows), profile('small', ofOne, Math.min(maxRows, smallRows))];
}

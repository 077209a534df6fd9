import { basename } from 'node:path';
import { type GraphTensor, propagateGraphName } from '../../../files/manifest.ts';
import { type Dim, evaluateDim } from '../../../ir/dims.ts';
import { invariant } from '../../../ir/invariant.ts';
import type { EnginePlan, Profile, ShapeRange } from '../engine-plan.ts';
import type { NamedProfile, ProfilePolicy } from './policy.ts';
import { propagateProfiles } from './propagate-profiles.ts';
import { stepProfiles } from './step-profiles.ts';
import { unrolledProfiles } from './unrolled-profiles.ts';

/**
 * The engines that are to be built of some graphs. Every size of every input follows from the sizes that a profile gives
 * to names, so that what stands in a relation, stands in it at min, opt and max alike: the mask is as long as past and
 * sequence together, the rows of groups add up to those of the step.
 *
 * A profile that is no other than one before it is left out, as `small` is where a step has one row.
 *
 * @param options `form` of the package; `separate`: an engine for each profile (`step.decode.plan`) in place of one with
 *   all (`step.all.plan`)
 */
export function planEngines(options: {
  readonly graphs: readonly { readonly file: string; readonly inputs: readonly GraphTensor[] }[];
  readonly form: 'depth-batched' | 'unrolled';
  readonly policy: ProfilePolicy;
  readonly separate: boolean;
}): readonly EnginePlan[] {
  const { graphs, form, policy, separate } = options;
  return graphs.flatMap(({ file, inputs }): readonly EnginePlan[] => {
    const named =
      form === 'unrolled'
        ? unrolledProfiles(policy)
        : basename(file) === propagateGraphName
          ? propagateProfiles(policy)
          : stepProfiles(policy, inputs.some(({ name }) => name === 'entering_rows') ? 1 : 0);
    const profiles = withoutCopies(named.map((profile) => profileOf(inputs, profile)));
    // Beside its graph.
    const stem = file.replace(/\.onnx$/, '');
    if (!separate) return [{ graph: file, plan: `${stem}.all.plan`, profiles }];
    return profiles.map((profile) => ({ graph: file, plan: `${stem}.${profile.name}.plan`, profiles: [profile] }));
  });
}

function profileOf(inputs: readonly GraphTensor[], { name, sizes }: NamedProfile): Profile {
  const at = (selector: 'min' | 'opt' | 'max') =>
    new Map([...sizes].map(([size, range]) => [size, range[selector]] as const));
  const [min, opt, max] = [at('min'), at('opt'), at('max')];
  const dynamic = inputs.filter(({ dims }) => dims.some((dim) => typeof dim !== 'number'));
  const evaluate = (dims: readonly Dim[], named: ReadonlyMap<string, number>) =>
    dims.map((dim) => evaluateDim(dim, named));
  const entries = dynamic.map(({ name: input, dims }): readonly [string, ShapeRange] => [
    input,
    { min: evaluate(dims, min), opt: evaluate(dims, opt), max: evaluate(dims, max) },
  ]);
  for (const [input, range] of entries) {
    const grows = range.min.every((size, i) => size <= range.opt[i]! && range.opt[i]! <= range.max[i]!);
    invariant(grows, `the sizes of ${input} grow from min to max in the profile ${name}`);
  }
  return { name, inputs: Object.fromEntries(entries) };
}

function withoutCopies(profiles: readonly Profile[]): readonly Profile[] {
  const seen = new Set<string>();
  return profiles.filter(({ inputs }) => {
    const key = JSON.stringify(inputs);
    return !seen.has(key) && seen.add(key);
  });
}

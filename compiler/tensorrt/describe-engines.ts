import type { GraphTensor, TensorrtFacts } from '../../files/manifest.ts';
import { invariant } from '../../ir/invariant.ts';
import { expectedRows } from '../../simulate/expected-rows.ts';
import type { EnginePlan } from '../../targets/tensorrt/engine-plan.ts';
import { illegalInFile } from '../../targets/tensorrt/operators/check-legality.ts';
import { profileProblems } from '../../targets/tensorrt/profiles/check-profiles.ts';
import { explainProfiles } from '../../targets/tensorrt/profiles/explain.ts';
import { planEngines } from '../../targets/tensorrt/profiles/plan-engines.ts';
import type { ProfilePolicy } from '../../targets/tensorrt/profiles/policy.ts';
import { formatVersion } from '../../targets/tensorrt/versions.ts';
import type { Form } from '../compile-options.ts';
import type { Recursion } from '../read/source-model.ts';
import type { TensorrtChoice } from './choose-tensorrt.ts';

/** A graph that is about to be written. */
export interface GraphFile {
  readonly file: string;
  readonly inputs: readonly GraphTensor[];
  readonly bytes: Uint8Array;
}

export interface DescribeEnginesOptions {
  readonly choice: TensorrtChoice;
  readonly form: Form;
  readonly graphs: readonly GraphFile[];
  readonly attention: TensorrtFacts['attention'];
  readonly recursion: Recursion;
  readonly pages: { readonly pageSize: number; readonly groups: number };
  /** An engine for each profile. */
  readonly separate: boolean;
  /** SHA-256 of the timing cache that every build has to begin with. */
  readonly timingCacheSha256?: string | undefined;
}

/**
 * What rtc.json says of engines, and why. Throws where a graph has something that the parser of the version does not take,
 * or profiles do not fit their graph: either is a bug in rtc, and better found here than on the machine with the GPU.
 */
export function describeEngines(options: DescribeEnginesOptions): {
  readonly facts: TensorrtFacts;
  readonly explanation: readonly string[];
} {
  const { choice, form, graphs, attention, recursion, pages, separate, timingCacheSha256 } = options;
  const { version, policy, settings } = choice;
  invariant(form !== 'loop', 'a form that was refused');
  for (const { file, bytes } of graphs) {
    const found = illegalInFile(bytes, version, file);
    invariant(found.ok, `${file} was written and cannot be read`);
    const illegal = found.value.map(({ node, op, message }) => `${op} "${node}": ${message}`);
    invariant(illegal.length === 0, `TensorRT ${formatVersion(version)} does not read ${file}: ${illegal.join('; ')}`);
  }
  const whole: ProfilePolicy = {
    ...policy,
    ...pages,
    loops: recursion.loops,
    tuneFor: expectedRows({ slots: policy.maxRows, exits: policy.exits }).tuneFor,
  };
  const engines = planEngines({ graphs, form, policy: whole, separate });
  for (const { graph, plan, profiles } of engines) {
    const problems = profileProblems(graphs.find(({ file }) => file === graph)!.inputs, profiles);
    invariant(problems.length === 0, `profiles of ${plan} do not fit ${graph}: ${problems.join('; ')}`);
  }
  return {
    facts: {
      version: formatVersion(version),
      attention,
      policy,
      engines: engines.map(listed),
      settings,
      ...(timingCacheSha256 !== undefined && { timingCacheSha256 }),
    },
    explanation: explainProfiles(whole, engines),
  };
}

/** A plan as rtc.json has it. */
function listed({ graph, plan, profiles }: EnginePlan): TensorrtFacts['engines'][number] {
  return {
    graph,
    plan,
    profiles: profiles.map(({ name, inputs }) => ({
      name,
      inputs: Object.fromEntries(
        Object.entries(inputs).map(([input, { min, opt, max }]) => [
          input,
          { min: [...min], opt: [...opt], max: [...max] },
        ]),
      ),
    })),
  };
}
